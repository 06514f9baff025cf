"""One offline page of a 4D scene: look around with the mouse, scrub the time, play.

The page is the viewer in the folder `viewer`, which draws with WebGL 2, filled with a scene and the
cameras of its views. It loads nothing, from the network or elsewhere. View-dependent colour is
shown to degree 1.
"""

import base64
import html
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.scene import packing, squeezing
from full4d_jax.scene.contributions import contributions
from full4d_jax.scene.serving import POLICY
from full4d_jax.session.errors import InputError, printable
from full4d_jax.source import camera_paths
from full4d_jax.source.depth.lines import UP
from gaussians import Gaussians, Scene
from gaussians.fitting.stillness import camera_moves
from input_pipeline.pinhole import intrinsics_from_fov, look_at
from input_pipeline.whole_files import whole_file

# By their ids.
READ = ("splats.vert", "splats.frag", "present.vert", "present.frag", "sorter.js")
# In the order in which it runs.
PROGRAM = (
    *("camera.js", "unpack.js", "clock.js", "pointers.js", "sorting.js", "renderer.js"),
    *("sound.js", "webm.js", "film.js", "headset.js", "buttons.js", "viewer.js"),
)
COMMENT = re.compile(r"^\s*(/\*\*.*?\*/|//[^\n]*)$", re.DOTALL | re.MULTILINE)
FOLDER = Path(__file__).parent / "viewer"
TITLE = "Full-4D scene"
# How far one may turn around cameras at one place before the scene falls into specks.
LEAST_TURN_DEGREES = 6.0
UNKNOWN_CLIP_SECONDS = 4.0
# Steps of the bar while a page arrives.
DATA_PARTS = 20


class Viewing(NamedTuple):
    """Cameras and limits of a viewer.

    Attributes:
      cameras: of the views, the start's first.
      pivot: around which the mouse turns, world units.
      up: unit vector along the axis around which it turns to the sides.
      limit: azimuth and elevation in degrees around the pivot, beyond which the orbit is elastic;
        None where nothing says how far it may go.
      zoom: the smallest and largest distance from the pivot, as multiples of the view's.
      background: colour behind the scene; None for a scene that fills the pictures, as the window
        then is filled, too.
      middle: the place in a view's picture, in shares of its width and height, that is in the
        middle of a window which shows less than all of it.
    """

    cameras: Cameras
    pivot: Float[ndarray, "3"]
    up: Float[ndarray, "3"]
    limit: tuple[float, float] | None
    zoom: tuple[float, float]
    background: Sequence[float] | None = (0.0, 0.0, 0.0)
    middle: tuple[float, float] = (0.5, 0.5)


def write_page(path: str | Path, *shown: Any, **options: Any) -> None:
    """Write the page of a scene in world units; arguments as of `page_text`."""
    page = page_text(*shown, **options)
    with whole_file(Path(path)) as partial:
        partial.write_text(page, encoding="utf-8", newline="")


def page_text(
    scene: Scene | Gaussians,
    viewing: Viewing,
    *,
    seconds: float,
    title: str = TITLE,
    sound: UInt8[ndarray, " n"] | None = None,
    quick: bool = False,
    credit: str = "",
) -> str:
    """Return the page.

    Args:
      scene: what it shows.
      viewing: how it is looked at.
      seconds: how long one pass of the scene lasts.
      title: its title.
      sound: bytes of an MP4 file of sound, as long as a pass; None for none.
      quick: do not measure what each Gaussian adds to pictures, which takes longest; the page is
        larger.
      credit: whom to name for what the scene is made of; "" for nobody.

    Raises:
      InputError: Nothing of the scene can be seen.
    """
    packed = packing.pack_scene(scene)
    if not len(packed.records):
        do = "give another scene"
        raise InputError(
            "scene", title, "no Gaussian that can be seen", "at least one", do
        )
    seen = None
    measures = not quick and len(packed.records) >= squeezing.FEW_GAUSSIANS
    cameras, pivot, up, limit, *_ = viewing
    if measures and limit and not isinstance(scene, Gaussians):
        seen = contributions(scene, cameras, pivot, up, limit)
    small = squeezing.squeezed(packed, seen)
    texts = {
        "policy": POLICY,
        "title": html.escape(printable(title)),
        "credit": html.escape(printable(credit and f"Made from: {credit}")),
    }
    settings = _settings(packed, small, viewing, seconds)
    deflated = zlib.compress(json.dumps(program(texts)).encode(), 9)
    texts |= {
        # In a script element only "<" could be misread.
        "settings": json.dumps(settings, separators=(",", ":")).replace("<", "\\u003c"),
        "data": _data(small.content),
        "code": bytes_as_text(deflated),
        "length": str(len(deflated)),
        "sound": "" if sound is None else sound_element(sound),
    }
    return fill_template("viewer.html", texts)


def sound_element(sound: UInt8[ndarray, " n"]) -> str:
    """Return the element of a page that holds an MP4 file of sound, muted until someone asks."""
    content = base64.b64encode(sound.tobytes()).decode()
    return f'<audio id="sound" muted src="data:audio/mp4;base64,{content}"></audio>'


def program(texts: Mapping[str, str]) -> dict[str, object]:
    """Return what the page adds to itself, without comments: style, controls and scripts."""
    scripts = [[name.removesuffix(".js"), _plain(name)] for name in READ]
    scripts += [["", _plain(name)] for name in PROGRAM]
    return {
        "style": _plain("viewer.css"),
        "controls": fill_template("controls.html", texts),
        "scripts": scripts,
    }


def _plain(name: str) -> str:
    """Return a file of the viewer without comments and margins."""
    lines = COMMENT.sub("", (FOLDER / name).read_text()).splitlines()
    return "\n".join(filter(None, map(str.strip, lines)))


def _data(content: bytes) -> str:
    """Return bytes as elements of a page, each followed by a word of how much there is by now."""
    text = bytes_as_text(content)
    length = -(-len(text) // DATA_PARTS)
    parts = []
    for i in range(DATA_PARTS):
        part = text[i * length : (i + 1) * length]
        data = f'<script class="data" type="text/plain">{part}</script>'
        parts += [data, f"<script>loaded({(i + 1) / DATA_PARTS})</script>"]
    return "\n".join(parts)


def bytes_as_text(content: bytes) -> str:
    """Return bytes as text: 8 take 7 with UTF-8's seven bits, where base64 takes 6.

    A group of seven bits is the character of that number. Four of those would not survive in a file
    of HTML: such a group and the next are one character of two bytes instead. What is decoded may
    end with a byte too many.
    """
    # Nothing, the ends of lines, and "<"; as in viewer/unpack.js.
    unsafe = (0, 10, 13, 60)
    # Times 128, it is the first character of a pair.
    first_pair = 2
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    # A group more for a pair to end.
    padded = np.zeros(-(-len(bits) // 7) * 7 + 7, np.uint8)
    padded[: len(bits)] = bits
    codes = np.packbits(padded.reshape(-1, 7), axis=1)[:, 0].astype(np.uint32) >> 1
    is_used = np.ones(len(codes), bool)
    is_used[-1] = False
    after = 0
    for i in np.flatnonzero(np.isin(codes[:-1], unsafe)):
        if i < after:
            continue  # the second of a pair
        codes[i] = (unsafe.index(codes[i]) + first_pair) << 7 | codes[i + 1]
        is_used[i + 1] = False
        after = i + 2
    return codes[is_used].astype("<u4").tobytes().decode("utf-32-le")


def fill_template(template: str, texts: Mapping[str, str]) -> str:
    """Return a file of the viewer with {{name}} replaced by a text or a file of that name."""

    def text(place):
        name = place[1]
        return texts[name] if name in texts else (FOLDER / name).read_text().rstrip()

    return re.sub(r"\{\{([a-z.]+)\}\}", text, (FOLDER / template).read_text())


def clip_seconds(times: Float[ndarray, " t"]) -> float:
    """Return how long a clip with these instants plays."""
    return float(times[-1] - times[0]) or UNKNOWN_CLIP_SECONDS


def run_viewing(
    cameras: Cameras,
    passing: Bool[ndarray, "t h w"] | None = None,
    background: Float[ndarray, "3"] | None = None,
) -> Viewing:
    """Return how the scene of a run is looked at: from about the angles of its views.

    Args:
      cameras: of the views at evenly spaced times; the page starts in view 0, the source.
      passing: pixels of the source that show what moves, of which the page finds the middle.
      background: as in `Viewing`.
    """
    poses = np.asarray(cameras.world_to_camera, np.float64)
    behind = None if background is None else background.tolist()
    middle = (0.5, 0.5) if passing is None else middle_of(passing)
    limit = camera_paths.orbit_limit(poses, LEAST_TURN_DEGREES)
    return Viewing(
        cameras,
        camera_paths.pivot_of(poses),
        camera_paths.up_of(poses),
        limit,
        (0.2, 3.0),
        behind,
        middle,
    )


def middle_of(moves: Bool[ndarray, "t h w"]) -> tuple[float, float]:
    """Return where in the pictures of a clip something moves, in shares of width and height.

    It is the middle of the pictures where too little moves to measure it.
    """
    if moves.mean() < camera_paths.LEAST_MOVING_SHARE:
        return 0.5, 0.5
    _, rows, columns = np.nonzero(moves)
    height, width = moves.shape[1:]
    return float(np.median(columns) + 0.5) / width, float(
        np.median(rows) + 0.5
    ) / height


def overview(scene: Scene | Gaussians) -> Viewing:
    """Return how a scene without cameras is looked at: from before its middle, almost all in sight.

    The axes are those of 3DGS, y down and z forward.
    """
    fov = 50.0  # degrees
    # Share of the Gaussians that may be out of sight.
    missed_share = 0.05
    means = np.asarray(
        (scene if isinstance(scene, Gaussians) else scene.gaussians).means
    )
    means = means[np.isfinite(means).all(1)].astype(np.float64)
    means = means if len(means) else camera_paths.PIVOT[None]
    pivot = np.median(means, 0)
    far = np.linalg.norm(means - pivot, axis=1)
    radius = max(float(np.quantile(far, 1 - missed_share)), 1e-3)
    eye = pivot - [0, 0, radius / np.sin(np.radians(fov) / 2)]
    lens = intrinsics_from_fov(fov, 480, 480).astype(np.float32)
    pose = look_at(eye, pivot).astype(np.float32)
    cameras = Cameras(lens[None], pose[None, None], 480, 480)
    return Viewing(cameras, pivot, np.asarray(UP), None, (0.01, 10.0))


def _settings(
    packed: packing.PackedScene,
    small: squeezing.SqueezedScene,
    viewing: Viewing,
    seconds: float,
) -> dict[str, object]:
    """Return what viewer.js reads beside the Gaussians."""
    cameras = viewing.cameras
    paths = np.asarray(cameras.world_to_camera)
    angles = camera_paths.angles_of(paths, viewing.pivot)
    lenses = np.asarray(cameras.intrinsics)[:, [0, 1, 0, 1], [0, 1, 2, 2]]
    views = []
    for i, poses in enumerate(paths):
        shown = poses if camera_moves(poses) else poses[:1]
        view = {
            "name": str(i) if i else "source",
            "lens": _rounded(lenses[i]),
            "poses": [_rounded(pose[:3].ravel()) for pose in shown],
            "angles": _rounded(angles[i, 0] if viewing.limit else np.zeros(2)),
            "width": cameras.width,
            "height": cameras.height,
        }
        views.append(view)
    return {
        "scene": {
            "count": sum(part["count"] for part in small.parts),
            "samples": packed.instants.shape[1],
            "still": not packed.moves,
            "harmonic": packing.HARMONIC_STEP if packed.harmonics.size else 0,
            "parts": small.parts,
            "length": len(small.content),
        },
        "views": views,
        "frames": paths.shape[1],
        "pivot": _rounded(viewing.pivot),
        "up": _rounded(viewing.up),
        "limit": viewing.limit,
        "zoom": viewing.zoom,
        # World units from a view to the pivot.
        "nearest": 0.05 if viewing.limit else 0.0,
        "seconds": seconds,
        "background": viewing.background,
        "middle": viewing.middle,
    }


def _rounded(values: ndarray) -> list[float]:
    return [round(float(x), 7) for x in values]
