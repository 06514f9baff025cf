"""Commands on hostile files, links, numbers and machines: each answers in words, soon, or works.

    python tests/attacks.py [PART OF A NAME ...]

An attack passes if the command works, or ends with exit code 2 and at most six lines, within 10
seconds of the processor and 2 GiB (60 seconds, where it works), if no file outside of its own
folder changed, and if no half file is left. Each runs in a process of its own, forked from one that
has imported what commands need.
"""

import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

SECONDS = 10
MEMORY = 2 * 2**30  # bytes
LINES = 6
LONG = 60  # seconds of the processor for a command that works
PATIENCE = 600  # seconds, after which an attack is ended, for the machine may be busy
REFUSED = 2  # exit code


class Attack(NamedTuple):
    """One command on something hostile.

    Attributes:
      name: the class of the attack, a slash, and which it is.
      words: of the command, after `full4d`; {home} and {here} are replaced.
      prepare: changes the attack's own folder first, in which the command then runs.
      limit: is called in the command's process before it begins.
      alarm: a signal that is sent to the command, and after how many seconds; None sends none.
      codes: exit codes that pass.
    """

    name: str
    words: list[str]
    prepare: Callable[[Path, Path], None] = lambda here, home: None
    limit: Callable[[], object] = lambda: None
    alarm: tuple[int, float] | None = None
    codes: tuple[int, ...] = (0, REFUSED)


class Answer(NamedTuple):
    """What a command did; `changed` says what it did to files that it should not touch."""

    code: int
    seconds: float
    memory: int
    lines: list[str]
    changed: list[str]

    def wrong(self, attack: Attack) -> str:
        """Return what is wrong with an answer; "" where it passes."""
        reasons = []
        if self.code not in attack.codes:
            reasons.append(f"exit code {self.code}")
        if any("Traceback" in line for line in self.lines):
            reasons.append("a traceback")
        elif self.code and len(self.lines) > LINES:
            reasons.append(f"{len(self.lines)} lines")
        elif self.code and not self.lines:
            reasons.append("not a word")
        if self.seconds > (SECONDS if self.code else LONG):
            reasons.append(f"{self.seconds:.0f} s")
        if self.memory > MEMORY:
            reasons.append(f"{self.memory / 2**30:.1f} GiB")
        reasons += self.changed
        return ", ".join(reasons)


def answer(attack: Attack, world: Path, folder: Path) -> Answer:
    """Run an attack on a copy of a world.

    Args:
      attack: the command.
      world: a folder of whole files, as `make_world` makes it.
      folder: an empty one, for the copy and for the files of somebody else.
    """
    here = folder / "here"
    home = folder / "home"
    shutil.copytree(world, here, symlinks=True)
    (home / "inner").mkdir(parents=True)
    (home / "victim.txt").write_text("of the user\n" * 9)
    (home / "inner/0000.ply").write_text("of the user\n")
    attack.prepare(here, home)
    before = content(home)
    words = [word.format(home=home, here=here) for word in attack.words]
    start = time.perf_counter()
    # Another process writes the file, as a limit to the size of files holds for streams, too.
    writer = ["tee", folder / "stderr"]
    with subprocess.Popen(writer, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as log:
        assert log.stdin is not None
        child = os.fork()
        if not child:
            _be_the_command(attack, words, here, log.stdin.fileno())
        log.stdin.close()
        if attack.alarm is not None:
            number, delay = attack.alarm
            time.sleep(delay)
            os.kill(child, number)
        code, seconds, memory = _wait(child, start)
    text = (folder / "stderr").read_text(errors="replace")
    # A line of progress is overwritten by the next one.
    lines = [line for line in text.splitlines() if line.strip() and not _is_progress(line)]
    after = content(home)
    names = before.keys() | after.keys()
    changed = sorted(f"changed {x}" for x in names if before.get(x) != after.get(x))
    # Half of a file, which only a process that was killed leaves.
    changed += sorted(f"left {path.name}" for path in here.rglob(".*.partial-*"))
    return Answer(code, seconds, memory, lines, changed)


def _is_progress(line: str) -> bool:
    return re.search(r": (\d+/\d+|done in |stopped after )", line) is not None


def _wait(child: int, start: float) -> tuple[int, float, int]:
    """Return a process's exit code, its seconds and its most bytes of memory.

    Seconds are of the processor, as the machine may be busy; after `PATIENCE` it is ended.
    """
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            seconds = usage.ru_utime + usage.ru_stime
            return os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss * 1024
        if time.perf_counter() - start > PATIENCE:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def _be_the_command(attack: Attack, words: list[str], here: Path, err: int) -> None:
    """Become the command: its folder, its streams, its limits."""
    from full4d_jax.cli import main

    os.chdir(here)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(err, 2)
    os.close(err)
    code = 1
    try:
        attack.limit()
        code = main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder, and the names of the folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = path.read_bytes() if path.is_file() else b"a folder"
    return found


def main() -> None:
    """Exit code 1 where an attack gets another answer than it should."""
    from attack_files import file_attacks
    from attack_machine import machine_attacks
    from attack_world import import_everything, make_world

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names; all attacks where none is given")
    options = parser.parse_args()
    # Programs are compiled once for all attacks.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    import_everything()
    bad = 0
    count = 0
    with tempfile.TemporaryDirectory(prefix="attacks-") as scratch:
        world = Path(scratch) / "world"
        make_world(world)
        for attack in _chosen(chain(file_attacks(), machine_attacks()), options.names):
            folder = Path(scratch) / "one"
            folder.mkdir()
            told = answer(attack, world, folder)
            shutil.rmtree(folder)
            wrong = told.wrong(attack)
            bad += bool(wrong)
            count += 1
            last = told.lines[-1] if told.lines else ""
            row = f"{told.code:4d} {told.seconds:5.1f} s {told.memory / 2**20:5.0f} MiB"
            print(f"{'BAD ' if wrong else '    '}{attack.name:<44} {row}  {wrong}", flush=True)
            if wrong or options.names:
                print(f"         {last[:300]}", flush=True)
    print(f"{count} attacks, {bad} with another answer than they should get")
    sys.exit(bad > 0)


def _chosen(found: Iterable[Attack], parts: list[str]) -> Iterator[Attack]:
    """Yield the attacks whose name has one of the parts; all where there are none."""
    for attack in found:
        if not parts or any(part in attack.name for part in parts):
            yield attack


def most_file_bytes(count: int) -> Callable[[], object]:
    """Return a limit to the size of the files that a process writes."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (count, count))

    return limit


if __name__ == "__main__":
    main()
