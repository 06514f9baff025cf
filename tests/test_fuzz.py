"""Damaged files are read or refused in words: 24 of each kind, or what a second allows.

`-m slow` takes 100 of each kind, or what 3 seconds allow; FULL4D_FUZZ_ROUNDS asks for more of them.
"""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz_bytes import mutate
from fuzz_readers import failures
from fuzz_structures import STRUCTURES

SCRIPT = Path(__file__).parent / "fuzz_readers.py"


@pytest.mark.parametrize(
    ("rounds", "seconds"), [(12, 1), pytest.param(100, 3, marks=pytest.mark.long)]
)
def test_no_reader_crashes_hangs_or_takes_all_memory(rounds, seconds):
    asked = os.environ.get("FULL4D_FUZZ_ROUNDS")
    if asked:
        rounds, seconds = int(asked), "inf"
    command = [sys.executable, str(SCRIPT), "--rounds", f"{rounds}", "--seconds", f"{seconds}"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900 + 9 * rounds, env=environment
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.count(f": at most {rounds} files") > 40


@pytest.mark.parametrize(
    "error", [KeyError("a"), MemoryError(), TimeoutError("longer"), ValueError("oh"), None]
)
def test_what_is_no_refusal_is_reported(error, tmp_path):
    def read(path: Path) -> None:
        if error:
            raise error
        raise ValueError("a.bin: found a damaged file, expected a whole one")

    told = list(failures("bad", ([b"0123456789" * 9], ".bin", read), tmp_path, 3, 0))
    assert len(told) == (3 if error else 0)
    assert len(list(tmp_path.glob("bad-0-*.bin"))) == len(told)


def test_what_is_changed_in_a_file_is_what_it_says():
    whole = json.dumps({"a": [1, 2, {"b": "c"}], "d": 0.5}).encode()
    chance = [np.random.default_rng(i) for i in range(100)]
    files = [STRUCTURES[".json"](whole, rng) for rng in chance]
    assert all(json.loads(file) is not Ellipsis for file in files)  # they parse
    assert len(set(files)) > 50
    assert sum(file == whole for file in files) < 15
    film = b"".join(
        struct.pack(">I4s", 16, kind) + bytes(8) for kind in (b"ftyp", b"free", b"mdat")
    )
    assert len({STRUCTURES[".mp4"](film, np.random.default_rng(i)) for i in range(60)}) > 20


def test_mutated_files_differ_and_can_be_made_again():
    whole = b"element vertex 5 property float x " * 40
    files = [mutate(whole, np.random.default_rng(i)) for i in range(50)]
    assert files == [mutate(whole, np.random.default_rng(i)) for i in range(50)]
    assert len(set(files)) > 45
    assert sum(file == whole for file in files) < 3
