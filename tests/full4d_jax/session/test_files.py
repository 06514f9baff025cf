"""A run folder belongs to one process at a time."""

import os
import resource
import subprocess
import sys

import pytest

from full4d_jax.session.errors import InputError
from full4d_jax.session.files import hold_folder

HOLD = """
import sys
from full4d_jax.session.files import hold_folder
hold_folder(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_the_folder(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"found in use by process {other.pid} on \S+"):
            hold_folder(tmp_path)
        other.kill()
    assert hold_folder(tmp_path) == tmp_path  # a lock ends with its process
    assert hold_folder(tmp_path) == tmp_path
    assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_a_disk_without_room_for_the_lock_leaves_none(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(InputError, match="File too large"):
            hold_folder(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert hold_folder(tmp_path) == tmp_path
