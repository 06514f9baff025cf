"""What dropping hole tokens from the keys could save; one JSON line comes last.

    python benchmarks/holes.py [--config PRESET] [--azimuths 15 30 180]

A token of the projected half is a hole where nothing projects into its patch and frames. For each
real clip in the folder that FULL4D_DATA names, `holes` is their share of the targets' projected
tokens, at the size of the config, on an arc to each azimuth; `pairs` the share of the mask's pairs
of tokens whose key is one; `work` that of a network call's operations (with a prompt), which a
kernel that skipped every such pair would save. `nothing` is the same without any depth: guidance's
second call, and clips that train without projection.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Bool
from shared_folder import shared_folder

from full4d_jax.config import Config, load_config
from full4d_jax.config.codecs import strides_of
from full4d_jax.config.masks import allowed_frames
from full4d_jax.generation.projection_guidance import project
from full4d_jax.media.pictures import to_model
from full4d_jax.models.codecs.codec import pool_frames
from full4d_jax.models.flops import forward_flops
from full4d_jax.source.camera_paths import grid_cameras, preset_targets
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.handheld.measured_depth import measure_depth
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.video_source import open_video

CLIPS = "real_videos/intel_one-by-one-person-detection_0.mp4", "videos/recammaster_4.mp4"


def main() -> None:
    """Count, print progress, then the JSON line."""
    parser = argparse.ArgumentParser(description="What dropping hole tokens could save.")
    parser.add_argument("--config", default="wan22_5b")
    parser.add_argument("--azimuths", type=float, nargs="+", default=[15, 30, 180])
    parser.add_argument("--frames", type=int, help="of a clip, in place of the config's")
    options = parser.parse_args()
    config = load_config(options.config)
    assert isinstance(config, Config), "a prior's"
    if config.model.projection != "frames":
        found = config.model.projection
        raise SystemExit(f"model.projection: found {found}, expected frames, which are tokens")
    frames = options.frames or config.data.frames
    config = replace(config, data=replace(config.data, frames=frames), text="prompt")
    results, visible = {}, np.ones((config.data.views, 1, 1), bool)
    for name in CLIPS:
        path = shared_folder() / "data" / name
        if not path.is_file():
            raise SystemExit(f"FULL4D_DATA: found no {path}")
        for azimuth, visible in visible_tokens(config, path, options.azimuths).items():
            results[f"{path.stem}_{azimuth:.0f}"] = shares_of_holes(config, visible)
            print(path.stem, f"{azimuth:.0f} degrees", shares_of_holes(config, visible), flush=True)
    nothing = np.zeros_like(visible)
    nothing[0] = True
    print(json.dumps(results | {"nothing": shares_of_holes(config, nothing)}))


def visible_tokens(
    config: Config, path: Path, azimuths: list[float]
) -> dict[float, Bool[np.ndarray, "v f s"]]:
    """Return which projected tokens of each view see something, by the angle of the arc."""
    model, data = config.model, config.data
    source = open_video(data, VideoOptions(path))
    assert source.cameras is not None, "a video has a camera"
    depth = jnp.asarray(measure_depth(source, open_network("ours")).depth)
    frames, run, tokens_of_angles = to_model(source.frames[0]), jax.jit(project), {}
    for azimuth in azimuths:
        arc = {"azimuth": azimuth, "elevation": 0.0, "frames": data.frames}
        cameras = grid_cameras(source.cameras, preset_targets("arc", targets=data.views - 1, **arc))
        mask = run(frames, depth, cameras).mask
        mask = pool_frames(mask, strides_of(model.codec, model.codec_stride))
        side = {"i": model.patch, "j": model.patch}
        tokens = np.asarray(reduce(mask, "v t (h i) (w j) -> v t (h w)", "max", **side)) > 0
        tokens_of_angles[azimuth] = np.concatenate([np.ones_like(tokens[:1]), tokens])
    return tokens_of_angles


def shares_of_holes(config: Config, visible: Bool[np.ndarray, "v f s"]) -> dict[str, float]:
    """Return the shares of holes, of pairs whose key is one, and of a call's operations."""
    views, frames, tokens = visible.shape
    holes = np.concatenate([np.zeros((views, frames)), (~visible).sum(-1)], 1).reshape(-1)
    allowed = allowed_frames(views, 2 * frames, cross_half=True).reshape(len(holes), -1)
    pairs, dropped = tokens * tokens * allowed.sum(), tokens * (allowed @ holes).sum()
    work = 4 * config.model.width * config.model.layers * dropped  # a query meets a key, a value
    whole = forward_flops(config, config.data.views, config.data.frames)
    shares = {"holes": (~visible[1:]).mean(), "pairs": dropped / pairs, "work": work / whole}
    return {name: round(float(share), 4) for name, share in shares.items()}


if __name__ == "__main__":
    main()
