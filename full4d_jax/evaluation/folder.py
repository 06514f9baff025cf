"""Scores of what lies in an output folder, instead of a prior's: what is asked for, and by whom."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from full4d_jax.session.errors import InputError

ONNX = ("clip_onnx", "matcher_onnx", "inception_onnx")
WITHOUT_TRUTH = ("reference", *ONNX)


@dataclass(frozen=True)
class Folder:
    """Score what was made instead of a prior (docs/evaluation.md); no config applies."""

    grid: Path | None = None
    """The grid in this output folder of `run` or `sample`, without any truth or with --truth; or,
    without, all in a folder of these."""
    scene: Path | None = None
    """The scene in this output folder of `run` or `lift`, or this .ply file beside its grid.npz,
    rendered by the cameras of --truth."""
    truth: Path | None = None
    """A dataset with the clip that the grid or scene was made from."""
    clip: str = ""
    """Its number in the split, or its scene; needed where there are several."""
    unit: float | None = None
    """World units of the dataset in one of the grid, where neither cameras nor depth tell."""
    reference: Path | None = None
    """A dataset, an output folder or a folder of these, for FVD, FVD-V and FID."""
    clip_onnx: Path | None = None
    """CLIP's image encoder, for CLIP-F and CLIP-V."""
    matcher_onnx: Path | None = None
    """A matcher of two pictures, such as GIM's, for the number of matches."""
    inception_onnx: Path | None = None
    """Inception, for FID."""


def asked(folder: Folder) -> bool:
    """Whether any of the options was given."""
    return any(getattr(folder, field.name) not in (None, "") for field in fields(folder))


def score(folder: Folder, split: str, *, vgg: bool) -> None:
    """Score a grid or a scene, with truth or without.

    Args:
      folder: what, and against what.
      split: of the datasets it names.
      vgg: measure LPIPS with VGG too.

    Raises:
      InputError: options that do not go together, or what the scores refuse.
    """
    subject = folder.grid or folder.scene
    if subject is None or (folder.grid and folder.scene):
        found, do = "both" if subject else "neither", "see full4d evaluate --help"
        raise InputError("option", "--grid, --scene", found, "one of them", do)
    if folder.truth is None:
        if folder.scene or folder.clip or folder.unit is not None or vgg:
            do = "give the dataset with the clip it was made from as --truth"
            raise InputError("option", "--truth", "none", "a dataset", do)
        from full4d_jax.evaluation.without_truth.grid_scores import score_folder

        files = {name: getattr(folder, name) for name in ONNX}
        score_folder(subject, reference=folder.reference, split=split, **files)
        return
    given = {name: getattr(folder, name) for name in WITHOUT_TRUTH}
    refuse(given, "no --truth beside it")
    if folder.unit is not None and not 0 < folder.unit < float("inf"):
        raise InputError("option", "--unit", folder.unit, "a length above 0", "change it")
    from full4d_jax.evaluation.truth.score import Wanted, score_with_truth

    kind = "grid" if folder.grid else "scene"
    wanted = Wanted(folder.truth, split, folder.clip, folder.unit)
    score_with_truth(subject, kind, wanted, vgg=vgg)


def refuse(given: Mapping[str, object], expected: str) -> None:
    """Refuse options that would be left out silently.

    Raises:
      InputError: naming the first that is given.
    """
    for name, value in given.items():
        if value not in (None, ""):
            raise InputError("option", f"--{name}", value, expected, "leave it out")
