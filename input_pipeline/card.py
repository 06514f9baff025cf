"""What a dataset holds, clip by clip and in all: the index and the card."""

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from PIL import Image

from input_pipeline.schema import VERSION, Example
from input_pipeline.transforms import decode_depth

Facts = dict[str, Any]  # of one clip, plain values


def facts(example: Example) -> Facts:
    """What the index says of a clip; its depth is decoded, its pictures are not."""
    views, frames = example.frames.shape
    with Image.open(io.BytesIO(example.frames.item(0, 0))) as picture:
        width, height = picture.size
    return {
        "scene": example.scene_id,
        "views": views,
        "frames": frames,
        "height": height,
        "width": width,
        "seconds": round(float(example.timestamps[0, -1] - example.timestamps[0, 0]), 4),
        "depth": [view for view in range(views) if all(map(_knows, example.depth16[view]))],
        "masks": [view for view in range(views) if all(example.masks[view])],
        "codec": example.codec,
        "latents": list(example.latents.shape[1:]) if example.codec else [],  # f h w c
        "caption": bool(example.caption),
        "source": example.source,
        "license": example.license,
    }


def _knows(depth16: bytes) -> bool:
    """Whether a depth file knows any depth in the middle, which no crop to another shape loses."""
    if not depth16:
        return False
    depth = decode_depth(depth16)
    (h, w), side = depth.shape, max(1, min(depth.shape) // 4)
    rows = slice(max(0, h // 2 - side), h // 2 + side)
    return bool(depth[rows, max(0, w // 2 - side) : w // 2 + side].any())


def content_hash(shards: dict[str, str]) -> str:
    """One hash of all shards, from their own by name."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(shards.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def summary(splits: dict[str, list[Facts]]) -> dict[str, Any]:
    """Counts, hours, sources and licences, as plain values."""
    clips = [clip for split in splits.values() for clip in split]
    return {
        "clips": {name: len(split) for name, split in splits.items()},
        "scenes": {name: len({c["scene"] for c in split}) for name, split in splits.items()},
        "frames": sum(clip["views"] * clip["frames"] for clip in clips),
        "hours": _hours(clip["seconds"] for clip in clips),
        "camera_hours": _hours(clip["views"] * clip["seconds"] for clip in clips),
        "views": _counts(clip["views"] for clip in clips),
        "instants": _counts(clip["frames"] for clip in clips),
        "sizes": _counts(f"{clip['width']}x{clip['height']}" for clip in clips),
        "with_depth": sum(bool(clip["depth"]) for clip in clips),
        "with_masks": sum(bool(clip["masks"]) for clip in clips),
        "codecs": _counts(clip["codec"] for clip in clips if clip["codec"]),
        "with_caption": sum(clip["caption"] for clip in clips),
        # A source may name a place in it behind a colon.
        "sources": _counts(clip["source"].partition(":")[0] for clip in clips),
        "licenses": _counts(clip["license"] for clip in clips),
    }


def card(name: str, about: str, told: dict[str, Any], size: int, digest: str) -> str:
    """The card, a page of markdown.

    Args:
      name: of the dataset.
      about: how it was made, in words.
      told: what `summary` returned.
      size: bytes of all shards.
      digest: what `content_hash` returned.
    """
    rows = [
        *(
            (f"split `{split}`", f"{clips} clips of {told['scenes'][split]} scenes")
            for split, clips in told["clips"].items()
        ),
        ("length", f"{told['hours']:.4g} hours, {told['camera_hours']:.4g} over all cameras"),
        ("frames", f"{told['frames']} in all views, {size / 2**20:.1f} MiB"),
        ("views in a clip", _listed(told["views"])),
        ("instants in a clip", _listed(told["instants"])),
        ("size", _listed(told["sizes"])),
        ("clips with depth of a view", told["with_depth"]),
        ("clips with masks of a view", told["with_masks"]),
        ("latents", _listed(told["codecs"]) or "none"),
        ("clips with a caption", told["with_caption"]),
        ("sources", _listed(told["sources"])),
        ("licences", _listed(told["licenses"])),
        ("content (SHA-256)", f"`{digest}`"),
        ("schema", f"version {VERSION}"),
    ]
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return f"# {name}\n\n{about}\n\n| what | how much |\n|---|---|\n{table}\n"


def _hours(seconds: Any) -> float:
    return sum(seconds) / 3600


def _counts(values: Any) -> dict[str, int]:
    """How many of each, the most frequent first."""
    found = Counter(str(value) for value in values)
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def _listed(counts: dict[str, int], most: int = 12) -> str:
    words: Sequence[str] = [
        f"{name or 'none said'} ({count} clips)" for name, count in counts.items()
    ]
    rest = [f"and {len(words) - most} others"] if len(words) > most else []
    return ", ".join([*words[:most], *rest])
