"""The index and the card of a data set: its content, clip by clip and in all."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from input_pipeline.films import is_film
from input_pipeline.projections import projection_from_bytes
from input_pipeline.schema import SCHEMA_VERSION, Example
from input_pipeline.transforms import decode_depth, view_size

Facts = dict[str, Any]  # of one clip, plain values
FACTS_VERSION = 4  # raised when facts change: a build does not go on with others


def facts(example: Example) -> Facts:
    """Return the index's facts of a clip; depth is decoded, pictures are not."""
    views, frames = example.frames.shape
    depth = [[_known(file) for file in view] for view in example.depth16]
    height, width = view_size(example.frames.item(0, 0))
    return {
        "scene": example.scene_id,
        "views": views,
        "frames": frames,
        "height": height,
        "width": width,
        "seconds": round(float(example.timestamps[0, -1] - example.timestamps[0, 0]), 4),
        "film": is_film(example.frames.item(0, 0)),
        "depth": [view for view, shares in enumerate(depth) if all(middle for _, middle in shares)],
        "known_depth": [round(float(np.mean([k for k, _ in shares])), 4) for shares in depth],
        "masks": [view for view in range(views) if all(example.masks[view])],
        "codec": example.codec,
        "latents": list(example.latents.shape[1:]) if example.codec else [],  # f h w c
        "projections": len(example.projections),
        "filled": all(
            projection_from_bytes(file).filled is not None for file in example.projections
        ),
        "caption": bool(example.caption),
        "text": list(example.text.shape) if example.text.size else [],  # n e
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
    is_known = decode_depth(depth16) > 0
    h, w = is_known.shape
    side = max(1, min(is_known.shape) // 4)
    rows = slice(max(0, h // 2 - side), h // 2 + side)
    return float(is_known.mean()), bool(is_known[rows, max(0, w // 2 - side) : w // 2 + side].any())


def content_hash(shards: dict[str, str]) -> str:
    """Return one hash of all shards, from their own hashes by name."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(shards.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def summarise(splits: dict[str, list[Facts]]) -> dict[str, Any]:
    """Sum up a data set: counts, hours, sources and licences, as plain values."""
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
        "known_depth": _middle(share for clip in clips for share in clip["known_depth"] if share),
        "with_masks": sum(bool(clip["masks"]) for clip in clips),
        "pictures": _counts("H.264 films" if clip["film"] else "JPEG files" for clip in clips),
        "codecs": _counts(clip["codec"] for clip in clips if clip["codec"]),
        "projections": _counts(clip["projections"] for clip in clips if clip["projections"]),
        "with_caption": sum(clip["caption"] for clip in clips),
        "with_text": sum(bool(clip["text"]) for clip in clips),
        # A source may name a place in it behind a colon.
        "sources": _counts(clip["source"].partition(":")[0] for clip in clips),
        "licenses": _counts(clip["license"] for clip in clips),
    }


def card(name: str, about: str, totals: dict[str, Any], size: int, digest: str) -> str:
    """Return the card, a page of markdown.

    Args:
      name: of the dataset.
      about: how it was made, in words.
      totals: what `summarise` returned.
      size: bytes of all shards.
      digest: what `content_hash` returned.
    """
    rows = [
        *(
            (f"split `{split}`", f"{clips} clips of {totals['scenes'][split]} scenes")
            for split, clips in totals["clips"].items()
        ),
        ("length", f"{totals['hours']:.4g} hours, {totals['camera_hours']:.4g} over all cameras"),
        ("frames", f"{totals['frames']} in all views, {size / 2**20:.1f} MiB"),
        ("views in a clip", _listed(totals["views"])),
        ("instants in a clip", _listed(totals["instants"])),
        ("size", _listed(totals["sizes"])),
        ("pictures", _listed(totals["pictures"])),
        ("clips with depth of a view", totals["with_depth"]),
        ("pixels with known depth, in views that have some", _shares(totals["known_depth"])),
        ("clips with masks of a view", totals["with_masks"]),
        ("latents", _listed(totals["codecs"]) or "none"),
        ("encoded projections of a clip", _listed(totals["projections"]) or "none"),
        ("clips with a caption", totals["with_caption"]),
        ("clips with an embedded caption", totals["with_text"]),
        ("sources", _listed(totals["sources"])),
        ("licences", _listed(totals["licenses"])),
        ("content (SHA-256)", f"`{digest}`"),
        ("schema", f"version {SCHEMA_VERSION}"),
    ]
    table = "\n".join(f"| {what} | {_cell(value)} |" for what, value in rows)
    return f"# {name}\n\n{_plain(about)}\n\n| what | how much |\n|---|---|\n{table}\n"


def _cell(value: Any) -> str:
    """Return a text for one cell of a table, whatever the clips' sources and licences say."""
    return " ".join(_plain(str(value)).split()).replace("|", "\\|")


def _plain(text: str) -> str:
    """Return a text in which no reader of markdown finds HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _hours(seconds: Any) -> float:
    return sum(seconds) / 3600


def _middle(shares: Iterable[float]) -> list[float]:
    """Return the least, the median and the greatest share; an empty list of no shares."""
    values = list(shares)
    return [round(float(x), 4) for x in np.quantile(values, (0, 0.5, 1))] if values else []


def _shares(shares: Sequence[float]) -> str:
    if not shares:
        return "none"
    least, median, most = (f"{share:.1%}" for share in shares)
    return f"{median} (median view; {least} to {most})"


def _counts(values: Any) -> dict[str, int]:
    """Count each value, the most frequent first."""
    counter = Counter(str(value) for value in values)
    return dict(sorted(counter.items(), key=lambda pair: (-pair[1], pair[0])))


def _listed(counts: dict[str, int], most: int = 12) -> str:
    words: Sequence[str] = [
        f"{name or 'none said'} ({count} clips)" for name, count in counts.items()
    ]
    rest = [f"and {len(words) - most} others"] if len(words) > most else []
    return ", ".join([*words[:most], *rest])
