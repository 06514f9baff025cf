from full4d_jax.evaluation.results import append_line, open_lines

LINES = ("held-out", 0), ("held-out", 2), ("rooms", 1)


def record(group, scene):
    return {"group": group, "scene": scene, "rows": []}


def test_running_again_continues_after_the_last_whole_line(tmp_path):
    path = tmp_path / "scores.jsonl"
    assert open_lines(path, "a") == {}
    kept = {line: record(*line) for line in LINES}
    for line in kept.values():
        append_line(path, line)
    with path.open("a") as file:
        file.write('{"group": "held-out", "sce')  # killed while writing
    assert open_lines(path, "a") == kept
    append_line(path, record("held-out", 1))
    assert open_lines(path, "a") == kept | {("held-out", 1): record("held-out", 1)}
