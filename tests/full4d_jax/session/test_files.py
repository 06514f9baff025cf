"""An output folder belongs to one process at a time, or to one for each part of a data set."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from full4d_jax.session.errors import InputError
from full4d_jax.session.files import hold_folder

HOLD = """
import sys
from full4d_jax.session.files import hold_folder
hold_folder(sys.argv[1], tuple(map(int, sys.argv[2:])) or (0, 1))
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(folder: Path, *part: int) -> Iterator[int]:
    """Another process, by its number, that holds a folder or a part of it; killed at the end."""
    words = [sys.executable, "-c", HOLD, str(folder), *map(str, part)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other.pid
        other.kill()


def test_a_second_process_is_told_who_holds_the_folder(tmp_path):
    with (
        held(tmp_path) as other,
        pytest.raises(InputError, match=rf"found in use by process {other} on \S+"),
    ):
        hold_folder(tmp_path)
    assert hold_folder(tmp_path) == tmp_path  # a lock ends with its process
    assert hold_folder(tmp_path) == tmp_path
    assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_parts_share_a_folder(tmp_path):
    with held(tmp_path, 0, 2) as other:
        with pytest.raises(InputError, match="found in use by another process"):
            hold_folder(tmp_path)
        with pytest.raises(InputError, match=f"found in use by process {other}"):
            hold_folder(tmp_path, (0, 2))
        hold_folder(tmp_path, (1, 2))
