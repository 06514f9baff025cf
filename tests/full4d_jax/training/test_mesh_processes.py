"""Several processes, as on several hosts, against one with as many devices."""

import json
from pathlib import Path

import pytest
from two_processes import free_address, outputs_of, start_programs

PROGRAM = Path(__file__).with_name("one_process.py")


def run(count: int) -> list[dict]:
    """Return the output of each of `count` processes; together they have eight devices."""
    address = free_address()
    words = [[PROGRAM, address, count, index] for index in range(count)]
    processes = start_programs(words, 8 // count)
    outputs = outputs_of(processes)
    assert [process.returncode for process in processes] == [0] * count, outputs
    lines = [[x for x in output.splitlines() if x.startswith('{"losses"')] for output in outputs]
    return [json.loads(line) for (line,) in lines]


@pytest.mark.slow
def test_two_processes_do_what_one_does():
    (whole,), parts = run(1), run(2)
    for part in parts:
        assert part["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    for step, expected in enumerate(whole["rendered"]):
        first, second = (part["rendered"][step] for part in parts)
        # No clip twice, none dropped.
        assert not set(first) & set(second)
        assert first | second == pytest.approx(expected, rel=1e-5)
