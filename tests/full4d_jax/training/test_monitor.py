"""A run reports speed, waiting for data, TensorBoard, sheets, profiles."""

import json
import time

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c
from tiny_run import batches, first, lines, short, step

from full4d_jax.config import TrainingConfig
from full4d_jax.training import monitor
from full4d_jax.training.loop import Reporting, run_training
from full4d_jax.training.monitor import Monitor, slow_process
from full4d_jax.training.run_state import start_at


def speeds(out) -> list[dict]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["speed"] for line in found]


def events(out) -> list:
    """All events in TensorBoard's files: each a length, its checksum, the event, its checksum."""
    found = []
    for path in sorted((out / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            size = int(np.frombuffer(content[:8], "<u8")[0])
            event, mark = content[12 : 12 + size], content[12 + size : 16 + size]
            assert np.frombuffer(mark, "<u4")[0] == masked_crc32c(event)
            message = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue]
            found.append(message.FromString(event))
            content = content[16 + size :]
    return found


def test_time_spent_waiting_for_data(tmp_path):
    def slow(start):
        for batch in batches(start):
            time.sleep(0.2)
            yield batch

    short(tmp_path / "slow", data=slow, checkpoint_every=7)
    short(tmp_path / "quick", log_every=7, checkpoint_every=7)
    _, *waiting, _ = speeds(tmp_path / "slow")
    assert max(x["data_wait"] for x in waiting) > 0.5  # a busy machine makes some of them slow
    assert min(x["seconds_per_step"] for x in waiting) > 0.2
    [quick] = speeds(tmp_path / "quick")
    assert quick["data_wait"] < 0.5
    assert quick["memory_gib"] > 0.05


def test_mfu_is_relative_to_the_peak_that_is_told(tmp_path, capsys):
    short(tmp_path / "known", reporting=Reporting(flops=8e9, peak=1e12), devices=8)
    said = capsys.readouterr()
    assert "MFU is relative to 1 TFLOP/s of each of 8 x cpu" in said.out
    assert "mfu" in said.err
    assert "data_wait" in said.err
    for x in speeds(tmp_path / "known")[1:]:
        assert x["mfu"] == pytest.approx(8e9 / (8 * 1e12) / x["seconds_per_step"], rel=2e-3)
    short(tmp_path / "unknown", reporting=Reporting(flops=8e9))
    assert "no peak is known for cpu" in capsys.readouterr().out
    for x in speeds(tmp_path / "unknown")[1:]:
        assert x["tflops"] == pytest.approx(8e-3 / x["seconds_per_step"], rel=2e-3)


def test_the_share_of_the_time_in_steps(tmp_path):
    """Waiting counts for nothing, nor does the time between two processes."""

    def late(start):
        for batch in batches(start):
            time.sleep(0.5)
            yield batch

    short(tmp_path, data=late, steps=3, log_every=1, checkpoint_every=3)
    first = speeds(tmp_path)
    assert all(0 <= x["goodput"] <= 0.5 for x in first)
    time.sleep(1.0)
    _, summary = short(tmp_path, steps=4, log_every=1)
    resumed = speeds(tmp_path)[-1]["goodput"]
    passed = time.time() - summary["began"]
    assert passed > 2.5
    assert resumed <= (summary["step_seconds"] + 0.1) / (passed - 0.2)


def test_data_that_does_not_come_is_named(tmp_path, monkeypatch, capsys):
    def stalled(start):
        for position, batch in enumerate(batches(start), start):
            time.sleep(2.5 if position == 3 else 0.0)
            yield batch

    monkeypatch.setattr(monitor, "STALLED_SECONDS", 1.5)
    monkeypatch.setattr(monitor, "STALLED_STEPS", 0)
    short(tmp_path, data=stalled)
    lines = [x for x in capsys.readouterr().out.splitlines() if "no data" in x]
    assert lines == [x for x in lines if "step 4 has no data after 1.5 s" in x]
    assert len(lines) == 1


def test_a_process_that_all_wait_for_is_named():
    hosts = ["process 0 (a)", "process 1 (b)", "process 2 (c)"]
    said = slow_process(np.array([0.1, 0.6, 0.0], np.float32), 2.0, hosts)
    assert said.startswith("all wait for process 1 (b), whose data takes 1.2 s of the 2 s a step")
    assert not slow_process(np.array([0.5, 0.6, 0.4], np.float32), 2.0, hosts)


def test_validation_stands_in_the_line_of_its_step(tmp_path):
    def validate(state):
        return {"validation/loss": float(state.params["x"])}

    short(tmp_path, reporting=Reporting(validate=validate), validate_every=3)
    found = {line["step"]: line for line in lines(tmp_path)}
    assert [step for step, line in found.items() if "validation/loss" in line] == [3, 6, 7]
    assert list(found) == [2, 3, 4, 6, 7]
    tags = [(x.step, v.tag) for x in events(tmp_path) for v in x.summary.value]
    assert [step for step, tag in tags if tag == "validation/loss"] == [3, 6, 7]


def test_tensorboard_has_the_numbers_and_hides_what_is_done_again(tmp_path):
    short(tmp_path, steps=4)
    short(tmp_path)
    found = events(tmp_path)
    assert [x.step for x in found if x.HasField("session_log")] == [1, 5]
    losses = {
        x.step: value.simple_value
        for x in found
        for value in x.summary.value
        if value.tag == "loss"
    }
    assert losses == pytest.approx({line["step"]: line["loss"] for line in lines(tmp_path)})


def test_sheets_at_intervals(tmp_path):
    def sheet(state):
        return np.full((8, 16, 3), int(state.step), np.uint8)

    short(tmp_path, reporting=Reporting(sheet=sheet), sheet_every=2)
    for at in (2, 4, 6):
        picture = np.asarray(Image.open(tmp_path / "sheets" / f"{at:07d}.png"))
        np.testing.assert_array_equal(picture, np.full((8, 16, 3), at))
    assert len(list((tmp_path / "sheets").iterdir())) == 3
    images = [x.step for x in events(tmp_path) for v in x.summary.value if v.HasField("image")]
    assert images == [2, 4, 6]


def test_a_profile_of_some_steps(tmp_path, capsys):
    short(tmp_path, reporting=Reporting(profile=(3, 4)))
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert list((tmp_path / "profile").rglob("*.trace.json.gz"))
    assert f"xprof --logdir {tmp_path / 'profile'}" in capsys.readouterr().out


def test_what_a_step_takes_is_on_the_devices(tmp_path):
    def on_the_host(start):
        return (np.asarray(batch) for batch in batches(start))

    with pytest.raises(Exception, match=r"Disallowed host-to-device transfer"):
        run_training(step, start_at(first()), on_the_host, TrainingConfig(), tmp_path, {})


@pytest.mark.parametrize("name", ["metrics.jsonl", "tensorboard"])
def test_reports_follow_no_link(tmp_path, name):
    """A stranger's folder may link a name of output to a file of the user."""
    (tmp_path / "out").mkdir()
    (tmp_path / "victim").mkdir()
    target = tmp_path / ("victim" if name == "tensorboard" else "file.txt")
    if target.suffix:
        target.write_text("of the user\n")
    (tmp_path / "out" / name).symlink_to(target)
    with pytest.raises(ValueError, match=f"{name}: found a link"):
        Monitor(tmp_path / "out", done=0, steps=4, flops=None, peak=None, began=0.0, busy=0.0)
    assert target.is_dir() or target.read_text() == "of the user\n"
    assert not list((tmp_path / "victim").iterdir())
