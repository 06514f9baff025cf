"""Convert files of camera poses between conventions: `full4d convert cameras`."""

import json
from pathlib import Path

import numpy as np

from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.cameras import ROTATION_TOLERANCE
from input_pipeline.conventions import CONVENTIONS, SAME, convert, homogeneous
from input_pipeline.plain_files import load_array, load_json
from input_pipeline.whole_files import whole_file

FORMATS = ".npy with (... 4 4) or (... 3 4), or .json"
KEYS = ("matrix", "world_to_camera", "w2c", "transform_matrix")


def convert_cameras(source: Path, target: Path, before: str, after: str) -> int:
    """Write the poses of one file in another convention; returns how many there are.

    Raises:
      InputError: files of another kind, an unknown convention, or matrices that are not rigid.
    """
    if target.suffix not in (".npy", ".json"):
        found = target.suffix or "no ending"
        raise InputError("cameras", target, found, ".npy or .json", "give another name")
    with input_errors("cameras", "see docs/data.md"):
        names, poses = _read(source, before)
        poses = homogeneous(poses)
        _check_rigid(source, poses)
        converted = convert(poses, before, after)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as partial:
        if target.suffix == ".npy":
            np.save(partial, converted)
        else:
            flat = converted.reshape(-1, 4, 4)
            cameras = [{"name": n, "matrix": p.tolist()} for n, p in zip(names, flat, strict=True)]
            partial.write_text(json.dumps({"convention": after, "cameras": cameras}, indent=1))
    return int(np.prod(poses.shape[:-2]))


def _read(path: Path, convention: str) -> tuple[list[str], np.ndarray]:
    """Return names, and float64 matrices (... 4 4) or (... 3 4)."""
    if path.suffix == ".npy":
        poses = load_array(path, FORMATS)
        if poses.dtype.kind not in "fiu":
            raise ValueError(f"{path}: found {poses.dtype}, expected real numbers")
        poses = poses.astype(np.float64)
        names = [str(index) for index in range(int(np.prod(poses.shape[:-2])))]
    elif path.suffix == ".json":
        names, poses = _read_json(path, convention)
    else:
        raise ValueError(f"{path}: found {path.suffix or 'no ending'}, expected {FORMATS}")
    if poses.ndim < 2 or poses.shape[-2:] not in ((4, 4), (3, 4)) or not poses.size:
        raise ValueError(f"{path}: found shape {poses.shape}, expected {FORMATS}")
    return names, poses


def _read_json(path: Path, convention: str) -> tuple[list[str], np.ndarray]:
    """Ours, cameras.json or transforms.json."""
    table = load_json(path)
    table = table if isinstance(table, dict) else {}
    stated = table.get("convention")
    if stated in CONVENTIONS and stated != SAME.get(convention, convention):
        raise ValueError(f"{path}: found convention {stated}, expected {convention} as in --from")
    try:
        entries = table["cameras"] if "cameras" in table else table["frames"]
        names = [str(entry.get("name", index)) for index, entry in enumerate(entries)]
        poses = [next(entry[key] for key in KEYS if key in entry) for entry in entries]
        return names, np.array(poses, np.float64)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        expected = f"cameras[] or frames[] with one of {', '.join(KEYS)}, all of one shape"
        raise ValueError(f"{path}: found no such list of poses, expected {expected}") from None


def _check_rigid(path: Path, poses: np.ndarray) -> None:
    rotation = poses[..., :3, :3]
    error = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max()
    if not error < ROTATION_TOLERANCE or np.linalg.det(rotation).min() < 0:
        found = f"rotations {error:.2g} from orthonormal, or mirrored"
        raise ValueError(f"{path}: found {found}, expected rigid poses")
