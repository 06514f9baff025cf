"""Make data sets, check them, and draw the scenes that models are trained on."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import tyro

from full4d_jax.config import SIZES, Config, experiment
from full4d_jax.data import data_options
from full4d_jax.session import errors, fields
from full4d_jax.session.files import hold_dataset
from full4d_jax.session.processes import ALONE, one_part
from full4d_jax.source.options import DepthKind, Flat, Several

Instants = Annotated[int, fields.Between(1, 100_000)]
Folder = tyro.conf.Positional[Path]
Output = Annotated[Path, fields.Streamed()]
Files = Annotated[data_options.FileOptions, Flat]
Size = Annotated[data_options.ClipSize, Flat]


def import_(
    path: Folder,
    *,
    out: Output,
    layout: str | None = None,
    fps: experiment.Rate | None = None,
    license: str = "",
    frames: Instants | None = None,
    stride: Instants = 1,
    instants: str = "0:",
    size: Annotated[int, fields.Between(8, 16_384)] | None = None,
    film: bool = False,
    turn: tuple[str, ...] = (),
    depth: str | None = None,
    test: data_options.TestShare = 0.0,
    jobs: data_options.JobCount = 1,
    files: Files,
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
      jobs: processes that decode and encode.
      files: the files of the new data set.
      follow_links: take files too that lie outside of the folder, by links or paths such as `../`.
    """
    from full4d_jax.data.import_capture import Cut, import_folder

    import_folder(
        path,
        out,
        layout=layout,
        fps=fps,
        license=license,
        cut=Cut(frames, stride, size, data_options.range_of(instants), film),
        turns=data_options.turns_of(turn),
        test=test,
        writing=files.writing(jobs),
        depth=depth,
        follow_links=follow_links,
    )


def procedural(
    *,
    out: Output,
    scenes: data_options.ClipCount = 64,
    first: data_options.SceneIndex = 0,
    clip: Size,
    worlds: Literal["simple", "rich"] = "simple",
    textures: Path | None = None,
    all_depth: bool = False,
    masks: bool = False,
    test: data_options.TestShare = 0.0,
    jobs: data_options.JobCount = 1,
    files: Files,
) -> None:
    """Render procedural scenes into a dataset; repeat the command to resume.

    Args:
      out: folder of the dataset.
      scenes: number of scenes, one clip each.
      first: index of the first scene; those from 2**30 on are kept for evaluation.
      clip: the size of a clip.
      worlds: primitives in a room, or people, furniture and thin poles in noise.
      textures: folder of pictures and videos that color half of the surfaces of rich worlds.
      all_depth: write depth of all views, not only of the source.
      masks: write masks of the people; training does not use them.
      test: share of the scenes in the split `test`.
      jobs: processes that render; 1 on a GPU.
      files: the files of the new data set.
    """
    clip.check()
    writing = files.writing(jobs)
    last = 2**31 - scenes
    expected = f"at most {last:,}, so that there are {scenes} scenes"
    fields.require_option("first", first, first <= last, expected)
    if worlds != "rich":
        fields.refuse({"textures": textures}, "none but with --worlds rich")
    folder = hold_dataset(out, writing.part)
    from full4d_jax.data.build import build_procedural
    from input_pipeline.procedural.clips import ProceduralClips

    clips = ProceduralClips(
        first,
        scenes,
        **asdict(clip),
        all_depth=all_depth,
        masks=masks,
        worlds=worlds,
        textures=str(textures or ""),
    )
    build_procedural(folder, clips, writing, test=test)


def gltf(
    assets: Folder,
    *,
    out: Output,
    clips: data_options.ClipCount = 64,
    clip: Size,
    spread: Annotated[float, fields.Between(1e-3, 180)] = 60.0,
    orbit: bool = False,
    license: str = "",
    test: data_options.TestShare = 0.0,
    jobs: data_options.JobCount = 1,
    files: Files,
) -> None:
    """Render animated glTF assets into a dataset; repeat the command to resume.

    Args:
      assets: a .glb file with a skinned, animated mesh, or a folder of them.
      out: folder of the dataset.
      clips: number of clips; the assets take turns.
      clip: the size of a clip, whose instants are 0.04 to 0.12 seconds apart.
      spread: largest angle between a target and the source, degrees.
      orbit: place the targets in equal steps along one arc from the source.
      license: licence of the assets, as an SPDX identifier or in words.
      test: share of the assets in the split `test`.
      jobs: processes that render.
      files: the files of the new data set.
    """
    clip.check()
    writing = files.writing(jobs)
    from full4d_jax.data.build import build_gltf
    from input_pipeline.procedural.gltf_scene import GltfClips, find_assets

    with errors.input_errors("glTF", "give .glb files of animated, skinned meshes"):
        found = find_assets(assets)
    source = GltfClips(
        found, clips, **asdict(clip), spread=spread, orbit=orbit, license=license
    )
    build_gltf(hold_dataset(out, writing.part), source, writing, test=test)


def encode(
    config: Annotated[
        Config, fields.Shown(("codec_weights", "model.codec", *SIZES, "data.buckets"))
    ],
    *,
    dataset: Path,
    out: Output,
    split: str = "train",
    text_encoder: Path | None = None,
    captions: Path | None = None,
    files: Files,
    several: Several = ALONE,
) -> None:
    """Write a data set with a codec's latents, so that training need not encode (docs/data.md).

    Pictures are cut to data.height x data.width, or to data.buckets. All devices of this host work.
    The same command resumes.

    Args:
      config: names the codec, its weights, and the size and length of training's clips.
      dataset: the folder to read.
      out: folder of the new dataset.
      split: split to read and to write.
      text_encoder: folder of umT5 as in full4d embed-text, to embed clips' captions.
      captions: JSON file, {"SCENE": "a man walks"}, of captions in place of the clips' own.
      files: the files of the new data set.
      several: the other processes, each of which writes every n-th file.
    """
    writing = files.writing(several=several)
    from full4d_jax.data.encode import encode_dataset

    with one_part(several, writing.part) as part:
        writing = writing._replace(part=part)
        folder = hold_dataset(out, part)
        encode_dataset(config, dataset, folder, split, writing, text_encoder, captions)


def check(
    dataset: Folder,
    *,
    out: Path = Path("out/check"),
    split: str = "train",
    clips: fields.CountOrZero = 4,
    instants: Instants = 2,
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
    dataset: Folder,
    *,
    out: Output,
    split: str = "train",
    depth_network: str = "ours",
    depth_kind: DepthKind | None = None,
    scale: Literal["matches", "axes"] = "matches",
    files: Files,
    several: Several = ALONE,
) -> None:
    """Estimate missing depth, in the units of the cameras, on all devices of this host.

    Args:
      dataset: the folder of a dataset.
      out: folder of the new data set; the same command resumes.
      split: split of the data set.
      depth_network: ours, another name or a file (see full4d run --help).
      depth_kind: what an .onnx file gives (see full4d run --help).
      scale: from points that views share, or from where all cameras look (docs/data.md).
      files: the files of the new data set.
      several: the other processes, each of which writes every n-th file.
    """
    writing = files.writing(several=several)
    from full4d_jax.data.build import estimate_dataset_depth

    network = depth_network, depth_kind
    with one_part(several, writing.part) as part:
        writing = writing._replace(part=part)
        folder = hold_dataset(out, part)
        estimate_dataset_depth(dataset, network, folder, split, scale, writing)
