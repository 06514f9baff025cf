"""Counts in the text of a program, cut from what XLA for TPU writes."""

from full4d_jax.training.dry_run.hlo import count_runs, estimate_cycles

HLO = """
%condition (p: (s32[])) -> pred[] {
  %limit = s32[] constant(30)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}
%inner (p: f32[8]) -> f32[8] {
  %a = f32[8] fusion(%p), calls=%f, metadata={op_name="jit(s)/jvp(codec)/conv"}, backend_config={"estimated_cycles":"7"}
}
%body (p: (s32[])) -> (s32[]) {
  %b = f32[8] fusion(%p), calls=%f, metadata={op_name="jit(s)/projection/add"}, backend_config={"estimated_cycles":"100"}
  %c = f32[8] call(%p), to_apply=%inner
}
ENTRY %main (p: (s32[])) -> (s32[]) {
  %loop = (s32[]) while(%p), condition=%condition, body=%body
  %d = f32[8] fusion(%p), metadata={op_name="jit(s)/my_projection/mul"}, backend_config={"estimated_cycles":"1000"}
}
"""  # noqa: E501


def test_computations_run_as_often_as_their_callers_and_loops():
    runs = count_runs(HLO)
    assert (runs["main"], runs["body"], runs["inner"]) == (1, 30, 30)


def test_cycles_are_summed_over_runs_and_named_scopes():
    found = estimate_cycles(HLO, ("projection", "codec"))
    assert found.cycles == {"": 1000 + 30 * 107, "projection": 3000, "codec": 210}
    assert found.share("codec") == 210 / 4210
    assert estimate_cycles("ENTRY %main (p: f32[]) -> f32[] {\n}").share("codec") is None


def test_what_the_compiler_cannot_estimate_is_counted_apart():
    found = estimate_cycles(HLO.replace('"100"', f'"{2**63 - 1}"'), ("projection", "codec"))
    assert found.unknown == {"": 30, "projection": 30}
    assert found.share("projection") is None
    assert found.share("codec") == 210 / 1210
