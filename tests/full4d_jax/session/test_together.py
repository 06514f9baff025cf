"""Two processes run one program: the first writes, and where one fails both end."""

import socket

import numpy as np
import pytest
from two_processes import free_address, outputs_of, start_programs

from full4d_jax.cli import main
from full4d_jax.session import processes

PROGRAM = """
import sys
from pathlib import Path
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from full4d_jax.session.processes import ProcessOptions, on_mesh, output_of

address, number, failing, folder = sys.argv[1:]
options = ProcessOptions(coordinator=address, processes=2, process=int(number))
try:
    with output_of(options, Path(folder)) as own:
        if number == failing:
            raise OSError("cannot read")
        kept = np.load(own / "stage.npz")["x"]
        mesh = jax.make_mesh((2,), ("data",))
        halves = NamedSharding(mesh, PartitionSpec("data"))
        double = jax.jit(lambda x: 2 * x, out_shardings=halves)
        found = on_mesh(mesh, double, jnp.asarray(kept))
        (own / "made.txt").write_text(" ".join(map(str, found)))
        print("worked in", own)
    print("ended")
except Exception as error:
    print(type(error).__name__, getattr(error, "exit_code", ""), error)
"""


@pytest.mark.parametrize("failing", [-1, 1])
def test_one_program_in_two_processes(failing, tmp_path):
    np.savez(tmp_path / "stage.npz", x=np.arange(4.0))
    address = free_address()
    words = [["-c", PROGRAM, address, number, failing, tmp_path] for number in range(2)]
    told = outputs_of(start_programs(words, 1))
    if failing < 0:
        assert [text.endswith("ended\n") for text in told] == [True, True], told
        assert f"worked in {tmp_path}\n" in told[0]
        assert "worked" not in told[1]  # it is silent
        assert (tmp_path / "made.txt").read_text() == "0.0 2.0 4.0 6.0"
        return
    assert "OSError  cannot read" in told[failing]
    assert "PeerError 75 process: another one: found an error" in told[1 - failing]
    assert not (tmp_path / "made.txt").exists()


def test_where_no_process_listens_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "SECONDS_TO_WAIT", 0.0)
    with socket.socket() as closed:  # a port that is taken, and does not listen
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        command = ["train", "--config", "debug", "--out", str(tmp_path / "run")]
        several = ["--coordinator", address, "--processes", "2", "--process", "1"]
        assert main([*command, *several]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    silence = "--coordinator: found no answer in 0 s (Connection refused), expected"
    assert said.startswith(f"full4d: option: {silence}")
