from full4d_jax.evaluation.results import append_line, missing, open_lines


def record(scene, group="held-out"):
    return {"group": group, "scene": scene, "rows": []}


def test_running_again_continues_after_the_last_whole_line(tmp_path):
    path = tmp_path / "scores.jsonl"
    assert open_lines(path, "a") == []
    for line in (record(0), record(2), record(1, "rooms")):
        append_line(path, line)
    with path.open("a") as file:
        file.write('{"group": "held-out", "sce')  # killed while writing
    records = open_lines(path, "a")
    assert records == [record(0), record(2), record(1, "rooms")]
    assert missing(records, "held-out", range(4)) == [1, 3]
    assert missing(records, "rooms", range(2)) == [0]
    append_line(path, record(1))
    assert open_lines(path, "a")[-1] == record(1)
