"""Make data sets, check them, and draw the scenes that models are trained on."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from full4d_jax.commands import SIZES
from full4d_jax.config import Config
from full4d_jax.data import option_checks
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import Streamed
from full4d_jax.session.files import hold_dataset
from full4d_jax.session.help_text import Shown
from full4d_jax.session.processes import ALONE, ProcessOptions, one_part
from full4d_jax.source.options import DepthKind


def import_(
    path: tyro.conf.Positional[Path],
    *,
    out: Annotated[Path, Streamed()],
    layout: str | None = None,
    fps: float | None = None,
    license: str = "",
    frames: int | None = None,
    stride: int = 1,
    instants: str = "0:",
    size: int | None = None,
    film: bool = False,
    turn: tuple[str, ...] = (),
    depth: str | None = None,
    test: float = 0.0,
    shards: int = 0,
    jobs: int = 1,
    shard: str = "0/1",
    follow_links: bool = False,
) -> None:
    """Make a data set from a calibrated multi-view capture, or from a folder of captures.

    The layout is detected: one of those that --layout names, or calibrations of OpenCV, aniposelib,
    caliscope, EasyMocap and Kalibr (docs/data.md).

    Args:
      path: the folder of the capture, or a .r3d file of Record3D.
      out: the folder of the dataset, which must not be there yet, but for other parts of it.
      layout: which, if several fit: dycheck, panoptic, multicam, instants, dnerf, nerfstudio, llff,
        qualisys, cameras_json, fdanyone, recammaster, record3d, stray, opencv or colmap.
      fps: frames per second of pictures without times.
      license: licence of the pictures, as an SPDX identifier or in words.
      frames: instants in a clip; by default 81, or all of a shorter capture.
      stride: take every n-th instant.
      instants: first:end, the instants to use; 0:50 is the first 50, 50: the rest.
      size: pixels of the shorter side of stored frames; by default frames keep their size.
      film: store each view as an H.264 film, much smaller than JPEG files (docs/data.md).
      turn: CAMERA=DEGREES, clockwise, such as cam03=90; a number alone turns all other cameras.
      depth: estimator for views without depth, as --depth_network of full4d run.
      test: share of the scenes in the split `test`.
      shards: approximate number of files; 0 makes files of 256 MiB.
      jobs: processes that decode and encode.
      shard: i/n writes every n-th file from the i-th on, as in full4d data procedural.
      follow_links: take files too that lie outside of the folder, by links or paths such as `../`.
    """
    option_checks.check_shards(shards)
    part = option_checks.part_of(shard)
    from full4d_jax.data.import_capture import Cut, import_folder

    import_folder(
        path,
        out,
        layout=layout,
        fps=fps,
        license=license,
        cut=Cut(frames, stride, size, option_checks.range_of(instants), film),
        turns=option_checks.turns_of(turn),
        test=test,
        shards=shards,
        jobs=jobs,
        part=part,
        depth=depth,
        follow_links=follow_links,
    )


def procedural(
    *,
    out: Annotated[Path, Streamed()],
    scenes: int = 64,
    first: int = 0,
    views: int = 4,
    frames: int = 4,
    height: int = 64,
    width: int = 64,
    worlds: Literal["simple", "rich"] = "simple",
    textures: Path | None = None,
    all_depth: bool = False,
    masks: bool = False,
    test: float = 0.0,
    shards: int = 0,
    jobs: int = 1,
    shard: str = "0/1",
) -> None:
    """Render procedural scenes into a dataset; repeat the command to resume.

    Args:
      out: folder of the dataset.
      scenes: number of scenes, one clip each.
      first: index of the first scene; those from 2**30 on are kept for evaluation.
      views: how many cameras a scene has; view 0 is the source.
      frames: instants per scene.
      height: height of a frame in pixels.
      width: width of a frame in pixels.
      worlds: primitives in a room, or people, furniture and thin poles in noise.
      textures: folder of pictures and videos that color half of the surfaces of rich worlds.
      all_depth: write depth of all views, not only of the source.
      masks: write masks of the people; training does not use them.
      test: share of the scenes in the split `test`.
      shards: approximate number of files; 0 makes files of 256 MiB.
      jobs: processes that render; 1 on a GPU.
      shard: i/n writes every n-th file from the i-th on; n commands make all, on any machines.
    """
    counts = {"scenes": scenes, "views": views, "frames": frames, "height": height, "width": width}
    option_checks.check_counts(first, counts | {"jobs": jobs})
    option_checks.check_shards(shards)
    part = option_checks.part_of(shard)
    option_checks.check_test_share(test)
    if textures and worlds != "rich":
        raise InputError("option", "--textures", textures, "none", "add --worlds rich")
    folder = hold_dataset(out, part)
    from full4d_jax.data.build import build_procedural
    from input_pipeline.procedural.clips import ProceduralClips

    clips = ProceduralClips(
        first,
        scenes,
        views=views,
        frames=frames,
        height=height,
        width=width,
        all_depth=all_depth,
        masks=masks,
        worlds=worlds,
        textures=str(textures or ""),
    )
    build_procedural(folder, clips, test=test, shards=shards, jobs=jobs, part=part)


def gltf(
    assets: tyro.conf.Positional[Path],
    *,
    out: Annotated[Path, Streamed()],
    clips: int = 64,
    views: int = 4,
    frames: int = 4,
    height: int = 64,
    width: int = 64,
    spread: float = 60.0,
    orbit: bool = False,
    license: str = "",
    test: float = 0.0,
    shards: int = 0,
    jobs: int = 1,
) -> None:
    """Render animated glTF assets into a dataset; repeat the command to resume.

    Args:
      assets: a .glb file with a skinned, animated mesh, or a folder of them.
      out: folder of the dataset.
      clips: number of clips; the assets take turns.
      views: how many cameras a clip has; view 0 is the source and has depth.
      frames: instants per clip, 0.04 to 0.12 seconds apart.
      height: height of a frame in pixels.
      width: width of a frame in pixels.
      spread: largest angle between a target and the source, degrees.
      orbit: place the targets in equal steps along one arc from the source.
      license: licence of the assets, as an SPDX identifier or in words.
      test: share of the assets in the split `test`.
      shards: approximate number of files; 0 makes files of 256 MiB.
      jobs: processes that render.
    """
    counts = {"clips": clips, "views": views, "frames": frames, "height": height, "width": width}
    option_checks.check_counts(0, {**counts, "scenes": clips, "jobs": jobs})
    option_checks.check_shards(shards)
    option_checks.check_test_share(test)
    if not 0 < spread <= 180:
        raise InputError("option", "--spread", spread, "above 0 to 180 degrees", "change it")
    from full4d_jax.data.build import build_gltf
    from input_pipeline.procedural.gltf_clips import GltfClips, find_assets

    with input_errors("glTF", "give .glb files of textured, skinned meshes with animations"):
        files = find_assets(assets)
    source = GltfClips(
        files,
        clips,
        views=views,
        frames=frames,
        height=height,
        width=width,
        spread=spread,
        orbit=orbit,
        license=license,
    )
    build_gltf(hold_dataset(out), source, test=test, shards=shards, jobs=jobs)


def encode(
    config: Annotated[
        Config,
        tyro.conf.arg(name=""),
        Shown(("codec_weights", "model.codec", *SIZES, "data.buckets")),
    ],
    *,
    dataset: Path,
    out: Annotated[Path, Streamed()],
    split: str = "train",
    shards: int = 0,
    shard: str = "0/1",
    text_encoder: Path | None = None,
    captions: Path | None = None,
    several: Annotated[ProcessOptions, tyro.conf.arg(name="")] = ALONE,
) -> None:
    """Write a data set with a codec's latents, so that training need not encode (docs/data.md).

    Pictures are cut to data.height x data.width, or to data.buckets. All devices of this host work.
    The same command resumes.

    Args:
      config: names the codec, its weights, and the size and length of training's clips.
      dataset: the folder to read.
      out: folder of the new dataset.
      split: split to read and to write.
      shards: approximate number of files; 0 makes files of 256 MiB.
      shard: i/n writes every n-th file from the i-th on, as in full4d data procedural.
      text_encoder: folder of umT5 as in full4d embed-text, to embed clips' captions.
      captions: JSON file, {"SCENE": "a man walks"}, of captions in place of the clips' own.
      several: the other processes, each of which writes every n-th file.
    """
    option_checks.check_shards(shards)
    part = option_checks.part_of(shard, several)
    from full4d_jax.data.encode import encode_dataset

    with one_part(several, part) as part:
        folder = hold_dataset(out, part)
        encode_dataset(config, dataset, folder, split, shards, part, text_encoder, captions)


def check(
    dataset: tyro.conf.Positional[Path],
    *,
    out: Path = Path("out/check"),
    split: str = "train",
    clips: int = 4,
    instants: int = 2,
) -> None:
    """Check a data set: cameras, clocks, light, repeated and damaged pictures.

    The exit code is 2 if there is a problem.

    Args:
      dataset: the folder of a dataset.
      out: a folder for the report, check.json, and a page for each clip, clip-00000.png.
      split: split to check.
      clips: number of evenly spaced clips; 0 takes all.
      instants: number of instants of a clip at which cameras are compared with pictures.
    """
    from full4d_jax.data.check import check_dataset

    check_dataset(dataset, out, split=split, clips=clips, instants=instants)


def depth(
    dataset: tyro.conf.Positional[Path],
    *,
    out: Annotated[Path, Streamed()],
    split: str = "train",
    depth_network: str = "ours",
    depth_kind: DepthKind | None = None,
    scale: Literal["matches", "axes"] = "matches",
    shards: int = 0,
    shard: str = "0/1",
    several: Annotated[ProcessOptions, tyro.conf.arg(name="")] = ALONE,
) -> None:
    """Estimate missing depth, in the units of the cameras, on all devices of this host.

    Args:
      dataset: the folder of a dataset.
      out: folder of the new data set; the same command resumes.
      split: split of the data set.
      depth_network: ours, another name or a file (see full4d run --help).
      depth_kind: what an .onnx file gives (see full4d run --help).
      scale: from points that views share, or from where all cameras look (docs/data.md).
      shards: approximate number of files; 0 makes files of 256 MiB.
      shard: i/n writes every n-th file from the i-th on, as in full4d data procedural.
      several: the other processes, each of which writes every n-th file.
    """
    option_checks.check_shards(shards)
    part = option_checks.part_of(shard, several)
    from full4d_jax.data.build import estimate_dataset_depth

    network = depth_network, depth_kind
    with one_part(several, part) as part:
        folder = hold_dataset(out, part)
        estimate_dataset_depth(dataset, network, folder, split, scale, shards, part)
