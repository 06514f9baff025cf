"""Options of `run`, `sample` and `lift`: one dataclass for each kind of source.

On the command line the fields are flat: `full4d run in.mp4 --azimuth 45`.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from full4d_jax.config.experiment import Rate
from full4d_jax.session.fields import LARGEST_INT, Between, Weight
from full4d_jax.session.processes import ProcessOptions
from full4d_jax.source import kinds
from full4d_jax.source.kinds import SourceOptions

Number = Annotated[int, Between(0, LARGEST_INT)]
# Numbers of held-out scenes follow those of training.
SceneNumber = Annotated[int, Between(0, 2**30 - 1)]
Start = Annotated[float, Between(0, 1e6)]
Seconds = Annotated[float, Between(0.01, 60)] | None
PlaySeconds = Annotated[float, Between(0.1, 600)] | None
Rows = Annotated[int, Between(16, 1080)] | None
Fov = Annotated[float, Between(1, 170)] | None
# Options of a part stand beside those of the whole.
Flat = tyro.conf.arg(name="")
Several = Annotated[ProcessOptions, Flat]
# The command line's first word.
Named = tyro.conf.arg(metavar="SOURCE", help_behavior_hint="")
SourcePath = Annotated[tyro.conf.Positional[Path], Named]
DepthKind = Literal["disparity", "depth", "metric"]
HeldOut = Literal["auto", "views", "instants", "none"]
# Taken where no video is given; the file beside it, .txt, begins with its credit.
CLIP = Path(str(files("full4d_jax") / "clips/shop_aisle.mp4"))


@dataclass(frozen=True)
class NetworkOptions:
    """The network that estimates depth."""

    depth_network: str | None = None
    """ours (default), or a .safetensors or .onnx file (docs/howto.md)."""
    depth_kind: DepthKind | None = None
    """Values of an .onnx file: disparity, depth up to a scale, or metres; default: by its outputs
    and a comparison with ours."""
    keep_estimate: bool = False
    """Leave estimated depth as it is (docs/depth.md)."""
    depth: ClassVar[Path | None] = None


@dataclass(frozen=True)
class DepthOptions(NetworkOptions):
    """Where the depth of the source comes from."""

    depth: Path | None = None
    """Depth of the video, .npy (t, h, w), 0 = unknown."""


@dataclass(frozen=True)
class PathOptions:
    """Where the target cameras stand."""

    path: str = "arc"
    """Target cameras: arc, ring, spiral or a JSON file (docs/cameras.md)."""
    azimuth: Annotated[float, Between(0, 180)] = 15.0
    """Reach of a preset path to the sides, degrees."""
    elevation: Annotated[float, Between(0, 85)] = 8.0
    """Reach of ring and spiral up and down, degrees."""


@dataclass(frozen=True)
class FrameOptions:
    """Size of the result's pictures, and its length.

    With weights that no upsampler belongs to, the defaults are those of the config.
    """

    rows: Rows = None
    """Short side of the result, pixels; default: 256, of a data set its own, 64 to 256."""
    seconds: Seconds = None
    """Seconds of the source to take; default: 2."""
    upsampler: Path | None = None
    """Weights that enlarge the prior's grid; default: ours."""


@dataclass(frozen=True)
class SizeOptions(FrameOptions):
    """Size of the result, where the number of views is free."""

    views: Annotated[int, Between(2, 64)] | None = None
    """Views of the grid, source included; default: 5."""


@dataclass(frozen=True, kw_only=True)
class OneViewOptions(SourceOptions):
    """Common options of sources of one view: the size of the result, its cameras, and depth."""

    size: Annotated[SizeOptions, Flat] = SizeOptions()
    cameras: Annotated[PathOptions, Flat] = PathOptions()
    measured: Annotated[DepthOptions, Flat] = DepthOptions()


@dataclass(frozen=True)
class VideoOptions(OneViewOptions):
    """A video from one camera."""

    path_kinds = "", kinds.VIDEO

    video: SourcePath = CLIP
    """The video; default: a clip of a shop in the package."""
    start: Start | None = None
    """Seconds into the video; default: the part where most moves (0 with --poses or --depth)."""
    fps: Rate | None = None
    """Frames a second to take; default: 8 (data.fps)."""
    fov: Fov = None
    """Horizontal field of view, degrees; default: that of the file or the depth network, else 65
    along the long side."""
    poses: Path | None = None
    """The camera's path: JSON, a COLMAP model or transforms.json; default: found in the video."""


@dataclass(frozen=True)
class WanOptions:
    """Wan's weights, and what a video shows beside its prompt."""

    weights: Path | None = None
    """A checkpoint of the preset, as `full4d convert wan` writes it."""
    text_encoder: Path | None = None
    """Folder of umT5, for words; see full4d embed-text --help."""
    negative: str = ""
    """Negative prompt, words or .npz; default: the empty prompt, or without an encoder Wan's
    padding."""
    guidance: Weight = 5.0
    """Weight of the prompt; 1 is off and takes half the time."""
    image: Path | None = None
    """The first frame; it is cut and resized. For wan22_5b."""


@dataclass(frozen=True)
class WordsOptions(OneViewOptions):
    """A video that Wan makes of words (docs/wan.md), as full4d video does."""

    selecting_flags = ("prompt",)

    prompt: str
    """Prompt of the video: words, or text.npz that `full4d embed-text` wrote."""
    wan: str = "wan22_5b"
    """Preset of Wan for the video; --config is that of the scene."""
    codec: Path | None = None
    """Weights of the preset's codec, a file of `full4d convert codec`."""
    film: Annotated[WanOptions, Flat] = WanOptions()
    fov: Fov = None
    """Horizontal field of view, degrees; default: that of the depth network, else 65 along the long
    side."""
    start: Start | None = None
    """Seconds into the video; default: the part where most moves (0 with --depth)."""


@dataclass(frozen=True)
class ClipOptions(SourceOptions):
    """A clip of a data set."""

    path_kinds = (kinds.DATASET,)

    dataset: SourcePath
    """The data set, a folder that `full4d data import`, `procedural` or `gltf` made."""
    split: str = "train"
    """Split of the data set."""
    clip: Number = 0
    """Number of the clip in the split."""


@dataclass(frozen=True)
class DatasetViewOptions(ClipOptions):
    """One or more views of a data set's clip; its other cameras are targets."""

    # The targets are the clip's own.
    cameras: ClassVar[None] = None

    view: tuple[Number, ...] = (0,)
    """Cameras of the clip that are real: the source, and up to 3 more; the others are made."""
    start: Start = 0.0
    """Seconds into the clip."""
    fps: Rate | None = None
    """Frames a second to take; default: 8 or data.fps, or all of a slower clip."""
    size: Annotated[FrameOptions, Flat] = FrameOptions()
    measured: Annotated[NetworkOptions, Flat] = NetworkOptions()


@dataclass(frozen=True)
class DemoOptions(OneViewOptions):
    """One view of a held-out procedural scene."""

    selecting_flags = ("scene",)

    scene: SceneNumber = 23
    """Number of the procedural scene; 23 shows someone who waves beside a table."""


class RowAndColumnOptions(SourceOptions):
    """Common options of sources of a first row and a first column: size and views of the config."""

    model_needs_cameras = False
    size: ClassVar[None] = None
    cameras: ClassVar[None] = None
    measured: ClassVar[None] = None


@dataclass(frozen=True)
class TwoVideosOptions(RowAndColumnOptions):
    """The first row and column of a grid without poses (--config four_real)."""

    path_kinds = "", kinds.VIDEO
    selecting_flags = ("freeze_time",)

    fixed_view: Annotated[tyro.conf.Positional[Path | None], Named] = None
    """A video whose camera stands still: the first row."""
    freeze_time: Path | None = None
    """A video of the same scene, frozen, from a moving camera: the first column."""
    start: Start = 0.0
    """Seconds into both videos."""
    fps: Rate | None = None
    """Frames a second to take; default: 8 or data.fps, or fewer to fill a shorter clip."""
    fov: Fov = None
    """Horizontal field of view of the upright videos in degrees; default: by the metadata of
    the second video, else 65 along its long side."""
    poses: Path | None = None
    """The camera's path in the second video: JSON, a COLMAP model or transforms.json; default:
    found in it. Only a scene needs it, the grid does not."""


@dataclass(frozen=True)
class DemoGridOptions(RowAndColumnOptions):
    """The first row and the first column of a held-out procedural scene."""

    scene: SceneNumber = 3
    """Number of the procedural scene."""
    fps: Rate | None = None
    """Frames a second of grid.mp4; default: 8 or data.fps."""


@dataclass(frozen=True, kw_only=True)
class FittedOptions(SourceOptions):
    """Common options of sources whose pictures are fitted as they are."""

    held_out: HeldOut = "auto"
    """Held-out pictures, which score the scene: auto (every 8th view; of fewer than 8 views every
    8th instant; with --views of a data set no more), views, instants or none."""
    points: Path | None = None
    """Points in the cameras' world to start from, where there is no depth: COLMAP's points3D.bin or
    .txt, or a .ply file."""


@dataclass(frozen=True)
class CaptureOptions(FittedOptions):
    """Pictures of several calibrated cameras, to be lifted as they are."""

    path_kinds = kinds.CAPTURE, kinds.ARRAYS, kinds.RECORD3D, kinds.FILMS

    capture: SourcePath
    """The folder of a capture (docs/data.md), a .r3d file, or an .npz with frames (v t h w 3)
    uint8, intrinsics (v 3 3), world_to_camera (v 4 4) or (v t 4 4), and if known depth and masks
    (v t h w), see docs/fitting.md; the prior is not queried."""
    rows: Rows = None
    """Short side of a folder's pictures; default: their own, of a generator or an RGB-D
    camera at most 256."""
    seconds: Seconds = None
    """Seconds of a folder's films to take; default: all."""
    fps: Rate | None = None
    """Frames a second of a folder to take; default: all, at most 8 of a generator or an RGB-D
    camera, and fewer of a long film."""


@dataclass(frozen=True)
class DatasetClipOptions(ClipOptions, FittedOptions):
    """All views of a data set's clip, or some, to be lifted as they are, without the prior."""

    views: tuple[int, ...] = ()
    """Cameras of the clip to fit, not how many; default: all but what is held out. `full4d
    evaluate OUT --scene --truth DATASET` then scores the others."""


@dataclass(frozen=True)
class GridOptions(SourceOptions):
    """The grid that `sample` left in the folder of a run."""

    path_kinds = "", kinds.RUN

    folder: SourcePath = Path("out")
    """The folder of a run, where scene.npz is written too; default: `out`."""


SampleOptions = (
    VideoOptions | DatasetViewOptions | DemoOptions | TwoVideosOptions | DemoGridOptions
)
RunOptions = SampleOptions | CaptureOptions | WordsOptions
LiftOptions = GridOptions | CaptureOptions | DatasetClipOptions
