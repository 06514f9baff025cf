"""`full4d data` makes datasets of scenes, and refuses what it cannot."""

import numpy as np
import pytest

from full4d_jax.cli import main
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.pinhole import centers
from input_pipeline.transforms import decode_depth

TINY = [
    "--scenes",
    "4",
    "--views",
    "3",
    "--frames",
    "2",
    "--height",
    "16",
    "--width",
    "16",
]


def test_procedural_scenes_become_a_dataset_in_two_parts(tmp_path, capsys):
    folder = tmp_path / "scenes"
    make = [
        "data",
        "procedural",
        "--out",
        str(folder),
        *TINY,
        "--shards",
        "2",
        "--shard",
    ]
    assert main([*make, "1/2"]) == 0
    assert "1 files of other parts are still missing" in capsys.readouterr().out
    assert main([*make, "0/2"]) == 0
    assert f"train --config PRESET --data.records {folder}" in capsys.readouterr().out
    records = open_dataset(folder)
    assert records.scene_ids == [f"procedural-{i:010d}" for i in range(4)]
    assert records.clips[0]["depth"] == [0]
    assert main([*make, "0/2", "--scenes", "5"]) == 2
    assert "of another build" in capsys.readouterr().err


def test_animated_assets_become_a_dataset(tmp_path, capsys, shared_data):
    assets = str(shared_data / "data" / "gltf")
    make = ["data", "gltf", assets, "--out", str(tmp_path / "fox")]
    make += [*TINY[4:], "--clips", "2", "--views", "2", "--license", "CC-BY-4.0"]
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
