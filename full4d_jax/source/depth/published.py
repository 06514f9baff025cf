"""Depth networks by name: where a person gets the file, and under which licence.

Nothing is downloaded here. A name stands for the one .onnx file in its folder of `CACHE`. Licences
are those that the pages named at the end of 2026; who uses a network reads them there.
"""

from pathlib import Path
from typing import NamedTuple

from full4d_jax.session.errors import InputError

CACHE = Path("~/.cache/full4d")
TRANSFORMERS = "onnx/model.onnx*"  # of onnx-community; weights may lie beside the graph


class Published(NamedTuple):
    """A network that others published.

    Attributes:
      place: the repository on Hugging Face, "" where it has none.
      files: of that repository.
      licence: of the weights, with what restricts their use.
      export: how a file is made where none is published.
    """

    place: str
    files: str
    licence: str
    export: str = ""


APACHE = "Apache-2.0"
PUBLISHED = {
    "da2-small": Published(
        "onnx-community/depth-anything-v2-small",
        "onnx/model.onnx",
        f"{APACHE}; Base and Large are CC-BY-NC-4.0, non-commercial",
    ),
    "da3-small": Published(
        "onnx-community/depth-anything-v3-small",
        TRANSFORMERS,
        f"{APACHE}; Large and Giant are CC-BY-NC-4.0, non-commercial",
    ),
    "da3-base": Published(
        "onnx-community/depth-anything-v3-base",
        TRANSFORMERS,
        f"{APACHE}; Large and Giant are CC-BY-NC-4.0, non-commercial",
    ),
    "moge2-small": Published("Ruicheng/moge-2-vits-normal-onnx", "model.onnx", "MIT"),
    "depth-pro": Published(
        "onnx-community/DepthPro-ONNX",
        "onnx/model_quantized.onnx",
        "Apple's own, for research only",
    ),
    "zipdepth": Published(
        "",
        "",
        "MIT, but its teacher, Depth Anything V2 Large, is CC-BY-NC-4.0, non-commercial",
        "python scripts/export.py --ckpt checkpoints/zipdepth_base_npu.pth --npu --format onnx "
        "--output {folder}/zipdepth.onnx, in github.com/fabiotosi92/ZipDepth",
    ),
    "metric3d": Published(
        "onnx-community/metric3d-vit-small",
        "onnx/model.onnx",
        "BSD-2-Clause of the code, CC0-1.0 of the file",
    ),
}


def published_file(name: str) -> Path:
    """Return the .onnx file of a published network.

    Raises:
      InputError: there is none in its folder, or there are several; the message says where to get
        it, and its licence.
    """
    one = PUBLISHED[name]
    shown = CACHE / name
    files = sorted(shown.expanduser().rglob("*.onnx"))
    if len(files) == 1:
        return files[0]
    if files:
        found = ", ".join(file.name for file in files)
        do = "leave one there, or give the path of one as --depth_network"
        raise InputError("depth network", shown, found, "one .onnx file", do)
    do = f"hf download {one.place} --include '{one.files}' --local-dir {shown}"
    if one.export:
        do = one.export.format(folder=shown)
    licence = f"licence: {one.licence}"
    raise InputError("depth network", shown, "no .onnx file", "one", f"get it by: {do} ({licence})")
