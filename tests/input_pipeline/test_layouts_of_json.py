"""JSON is held against what its readers read, before they read it."""

import json

import pytest

from input_pipeline.plain_files import load_lines, require_layout

LAYOUT = {"version": int, "share?": float, "files": {str: {"bytes": int}}, "names": [str]}
WHOLE = {"version": 1, "files": {"a": {"bytes": 3}}, "names": ["x"], "other": None}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"version": True}, "there, version: found True, expected a whole number"),
        ({"share": float("nan")}, "there, share: found nan, expected a finite number"),
        ({"files": {"a": {}}}, "there, files, a: found nothing, expected a field bytes"),
        ({"names": ["x", 1]}, "there, names, item 1: found 1, expected a text"),
    ],
)
def test_what_does_not_fit_is_named(edit, message):
    require_layout(WHOLE, LAYOUT, "there")
    with pytest.raises(ValueError, match="there") as error:
        require_layout(WHOLE | edit, LAYOUT, "there")
    assert message in str(error.value)


def test_lines_are_read_but_for_one_that_was_cut_short(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert load_lines(path, {"step": int}) == [{"step": 1}, {"step": 2}]
    path.write_bytes(json.dumps({"step": 1}).encode() + b"\n\xff\n")
    with pytest.raises(ValueError, match="line 2: found broken JSON"):
        load_lines(path, {"step": int})
