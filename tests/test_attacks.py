"""Attacks that are answered before work begins; `python tests/attacks.py` makes all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attacks import LINES, MEMORY, SECONDS, Answer, Attack, content

SCRIPT = Path(__file__).parent / "attacks.py"
SOON = ["place/", "number/data", "link/render lock", "content/index check"]


@pytest.mark.slow
def test_attacks_that_end_soon_are_answered_in_words():
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *SOON],
        capture_output=True,
        text=True,
        timeout=3000,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(done.stdout.splitlines()[-1].split()[0]) > 60


ATTACK = Attack("a", [])
GOOD = Answer(2, 0.5, 2**20, ["full4d: scene: a.ply: found b, expected c; d"], [])


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, ""),
        ({"code": 0, "lines": []}, ""),
        ({"code": 1}, "exit code 1"),
        ({"code": -6}, "exit code -6"),
        ({"lines": []}, "not a word"),
        ({"lines": ["Traceback (most recent call last):"]}, "a traceback"),
        ({"lines": ["a"] * (LINES + 1)}, f"{LINES + 1} lines"),
        ({"seconds": SECONDS + 1.0}, f"{SECONDS + 1} s"),
        ({"memory": MEMORY + 2**30}, "3.0 GiB"),
        ({"changed": ["changed victim.txt"]}, "changed victim.txt"),
    ],
)
def test_wrong_answers_are_noticed(change, wrong):
    assert GOOD._replace(**change).wrong(ATTACK) == wrong


def test_what_changed_is_found_whatever_it_is(tmp_path):
    (tmp_path / "a").write_text("a")
    before = content(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").write_text("b")
    after = content(tmp_path)
    assert before == {"a": b"a"}
    assert after == {"a": b"b", "folder": b"a folder"}
