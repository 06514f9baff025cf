"""The index and the card of a data set: the content of each clip and of all."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from input_pipeline import h264, schema, transforms

# Plain values of one clip.
Facts = dict[str, Any]
# Raise it when facts change: a build does not go on with others.
FACTS_VERSION = 4


def facts(example: schema.Example) -> Facts:
    """Return the index's facts of a clip; depth is decoded, pictures are not."""
    views, frames = example.frames.shape
    # Of each view the known shares, and whether the middles are among them.
    depth = [[*zip(*map(_known, view), strict=True)] for view in example.depth16]
    first = example.frames.item(0, 0)
    height, width = transforms.view_size(first)
    projected = map(schema.projection_from_bytes, example.projections)
    return {
        "scene": example.scene_id,
        "views": views,
        "frames": frames,
        "height": height,
        "width": width,
        "seconds": round(
            float(example.timestamps[0, -1] - example.timestamps[0, 0]), 4
        ),
        "film": h264.is_stream(first),
        "depth": [view for view, (_, middles) in enumerate(depth) if all(middles)],
        "known_depth": [round(float(np.mean(shares)), 4) for shares, _ in depth],
        "masks": [view for view in range(views) if all(example.masks[view])],
        "codec": example.codec,
        # f h w c.
        "latents": list(example.latents.shape[1:]) if example.codec else [],
        "projections": len(example.projections),
        "filled": all(x.filled is not None for x in projected),
        "caption": bool(example.caption),
        # n e.
        "text": list(example.text.shape) if example.text.size else [],
        "source": example.source,
        "license": example.license,
        **({"generated": True} if example.generated else {}),
    }


def _known(depth16: bytes) -> tuple[float, bool]:
    """Return the share of pixels whose depth is known, and whether some are in the middle.

    No crop to another shape loses the middle.
    """
    if not depth16:
        return 0.0, False
    is_known = transforms.decode_depth(depth16) > 0
    h, w = is_known.shape
    side = max(1, min(h, w) // 4)
    rows, columns = (slice(max(0, n // 2 - side), n // 2 + side) for n in (h, w))
    return float(is_known.mean()), bool(is_known[rows, columns].any())


def content_hash(shards: dict[str, str]) -> str:
    """Return one hash of all shards, from their own hashes by name."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(shards.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def card(
    name: str, about: str, splits: dict[str, list[Facts]], size: int, digest: str
) -> str:
    """Return the card, a page of markdown.

    Args:
      name: of the dataset.
      about: how it was made, in words.
      splits: the facts of their clips.
      size: bytes of all shards.
      digest: what `content_hash` returned.
    """
    clips = [clip for split in splits.values() for clip in split]
    frames = sum(clip["views"] * clip["frames"] for clip in clips)
    hours = sum(clip["seconds"] for clip in clips) / 3600
    camera_hours = sum(clip["views"] * clip["seconds"] for clip in clips) / 3600
    codecs = [clip["codec"] for clip in clips]
    projections = [clip["projections"] for clip in clips]
    known = [share for clip in clips for share in clip["known_depth"] if share]
    rows = [
        *((f"split `{name}`", _scenes(split)) for name, split in splits.items()),
        ("length", f"{hours:.4g} hours, {camera_hours:.4g} over all cameras"),
        ("frames", f"{frames} in all views, {size / 2**20:.1f} MiB"),
        ("views in a clip", _listed(clip["views"] for clip in clips)),
        ("instants in a clip", _listed(clip["frames"] for clip in clips)),
        ("size", _listed(f"{clip['width']}x{clip['height']}" for clip in clips)),
        (
            "pictures",
            _listed("H.264 videos" if c["film"] else "JPEG files" for c in clips),
        ),
        ("clips with depth of a view", sum(bool(clip["depth"]) for clip in clips)),
        ("pixels with known depth, in views that have some", _shares(known)),
        ("clips with masks of a view", sum(bool(clip["masks"]) for clip in clips)),
        ("latents", _listed(filter(None, codecs))),
        ("encoded projections of a clip", _listed(filter(None, projections))),
        ("clips with a caption", sum(clip["caption"] for clip in clips)),
        ("clips with an embedded caption", sum(bool(clip["text"]) for clip in clips)),
        # A source may name a place in it behind a colon.
        ("sources", _listed(clip["source"].partition(":")[0] for clip in clips)),
        ("licences", _listed(clip["license"] for clip in clips)),
        ("content (SHA-256)", f"`{digest}`"),
        ("schema", f"version {schema.SCHEMA_VERSION}"),
    ]
    table = "\n".join(f"| {what} | {_cell(value)} |" for what, value in rows)
    return f"# {name}\n\n{_plain(about)}\n\n| what | how much |\n|---|---|\n{table}\n"


def _scenes(clips: list[Facts]) -> str:
    return f"{len(clips)} clips of {len({clip['scene'] for clip in clips})} scenes"


def _cell(value: Any) -> str:
    """Return a text for one cell of a table, whatever the clips' sources and licences say."""
    return " ".join(_plain(str(value)).split()).replace("|", "\\|")


def _plain(text: str) -> str:
    """Return a text in which no reader of markdown finds HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _shares(shares: Sequence[float]) -> str:
    """Return the median, the least and the greatest share in words."""
    if not shares:
        return "none"
    ends = np.quantile(shares, (0, 0.5, 1)).round(4)
    least, median, most = (f"{share:.1%}" for share in ends)
    return f"{median} (median view; {least} to {most})"


def _listed(values: Iterable[Any], most: int = 12) -> str:
    """Return each value and how many clips have it, the most frequent first."""
    counts = Counter(map(str, values))
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    listed = [f"{name or 'none said'} ({count} clips)" for name, count in ordered]
    if len(listed) > most:
        listed[most:] = [f"and {len(listed) - most} others"]
    return ", ".join(listed) or "none"
