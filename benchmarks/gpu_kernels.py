"""What NVIDIA's assembler says of the Pallas kernels of a program that XLA compiled for a GPU.

XLA leaves the kernels as PTX where its option `xla_dump_to` says; `ptxas`, of the CUDA toolkit,
tells registers and spills. A kernel's loop is its largest block without a branch.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WARP = 32  # threads


class Kernel(NamedTuple):
    """One kernel.

    Attributes:
      warps: of a block.
      registers: of a thread.
      spilled: bytes of a thread that its registers do not hold, stored and loaded.
      loop: instructions of a trip through its loop.
    """

    warps: int
    registers: int
    spilled: int
    loop: int


def assembled_kernels(folder: Path, names: list[str]) -> dict[str, Kernel]:
    """Return the kernels of these names that are in a folder of PTX; none without ptxas."""
    kernels: dict[str, Kernel] = {}
    if shutil.which("ptxas"):
        for file in sorted(folder.glob("*.ptx")):
            text = file.read_text()
            for name in names:
                if body := re.search(rf"\.entry {name}\((.*?)\n\}}", text, re.DOTALL):
                    kernels[name] = _assemble(file, text, name, body[1])
    return kernels


def _assemble(file: Path, text: str, name: str, body: str) -> Kernel:
    target = re.search(r"^\.target (\w+)", text, re.MULTILINE)
    threads = re.search(r"\.(?:reqntid|maxntid) (\d+)", body)
    assert target, file
    assert threads, file
    command = ["ptxas", "-v", f"-arch={target[1]}", str(file), "-o", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = done.stderr.partition(f"'{name}'")[2]
    spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    registers = re.search(r"Used (\d+) registers", said)
    assert spilled, said
    assert registers, said
    return Kernel(
        warps=int(threads[1]) // WARP,
        registers=int(registers[1]),
        spilled=int(spilled[1]) + int(spilled[2]),
        loop=max(_blocks(body)),
    )


def _blocks(body: str) -> Iterator[int]:
    """Count the instructions of each block between labels."""
    for block in re.split(r"^\$\w+:", body, flags=re.MULTILINE):
        lines = (line.strip() for line in block.splitlines())
        yield sum(line.endswith(";") and not line.startswith((".", "//")) for line in lines)
