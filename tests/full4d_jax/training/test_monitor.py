"""A run reports speed, waiting for data, TensorBoard, profiles."""

import json
import time

import numpy as np
import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c
from tiny_run import batches, lines, short

from full4d_jax.training import monitor
from full4d_jax.training.monitor import slow_process
from full4d_jax.training.training_loop import Reporting


def speeds(out) -> list[dict]:
    found = [
        json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()
    ]
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


def test_mfu_is_relative_to_the_peak_that_is_told(tmp_path, capsys):
    short(tmp_path / "known", reporting=Reporting(flops=8e9, peak=1e12), devices=8)
    said = capsys.readouterr()
    assert "MFU is relative to 1 TFLOP/s of each of 8 x cpu" in said.out
    assert "mfu" in said.err
    assert "data_wait" in said.err
    for x in speeds(tmp_path / "known")[1:]:
        assert x["mfu"] == pytest.approx(
            8e9 / (8 * 1e12) / x["seconds_per_step"], rel=2e-3
        )
    short(tmp_path / "unknown", reporting=Reporting(flops=8e9))
    assert "no peak is known for cpu" in capsys.readouterr().out
    for x in speeds(tmp_path / "unknown")[1:]:
        assert x["tflops"] == pytest.approx(8e-3 / x["seconds_per_step"], rel=2e-3)


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
    told = "all wait for process 1 (b), whose data takes 1.2 s of the 2 s a step"
    assert said.startswith(told)
    assert not slow_process(np.array([0.5, 0.6, 0.4], np.float32), 2.0, hosts)


def test_tensorboard_has_the_numbers_and_hides_what_is_done_again(tmp_path):
    short(tmp_path, steps=4)
    short(tmp_path)
    found = events(tmp_path)
    assert [x.step for x in found if x.HasField("session_log")] == [1, 5]
    numbers = [(x.step, value) for x in found for value in x.summary.value]
    losses = {step: x.simple_value for step, x in numbers if x.tag == "loss"}
    assert losses == pytest.approx(
        {line["step"]: line["loss"] for line in lines(tmp_path)}
    )


def test_a_profile_of_some_steps(tmp_path, capsys):
    short(tmp_path, reporting=Reporting(profile=(3, 4)))
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert list((tmp_path / "profile").rglob("*.trace.json.gz"))
    assert f"xprof --logdir {tmp_path / 'profile'}" in capsys.readouterr().out
