"""Networks in .onnx files that take pictures; onnxruntime (the extra `depth`) runs them.

It runs them by CUDA or CoreML where its build has these, else on the CPU.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from full4d_jax.session import errors, extras

FLOAT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
INTEGER_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class Network(NamedTuple):
    """A network that is ready to be called.

    Attributes:
      run: maps pictures (n 3 h w) float32, one array for each input, to the outputs by their
        names, floats in float32; pictures of a network that sees several frames at once are
        (1 n 3 h w).
      shape: shape of its inputs; free axes are names or None.
    """

    run: Callable[..., dict[str, np.ndarray]]
    shape: list[int | str | None]

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the input's rows and columns; the given ones where these are free."""
        rows, columns = self.shape[-2:]
        rows = rows if isinstance(rows, int) else height
        return rows, columns if isinstance(columns, int) else width


class OnnxFile(NamedTuple):
    """An .onnx file that onnxruntime has opened.

    Attributes:
      refused: returns the error for a network that is not the expected one, from what it is.
      network: its network.
      outputs: names of all outputs.
      described: the inputs and outputs in words.
      metadata: what the exporter wrote beside the graph.
    """

    refused: Callable[[object], errors.InputError]
    network: Network
    outputs: tuple[str, ...]
    described: str
    metadata: dict[str, str]


def open_file(
    what: str,
    path: Path,
    expected: str,
    see: str,
    *,
    inputs: int = 1,
    axes: tuple[int, ...] = (4,),
    numbers: Mapping[str, int] | None = None,
) -> OnnxFile:
    """Open an .onnx file.

    Args:
      what: what the network is for, for messages.
      path: of the file.
      expected: what kind of network it should be.
      see: what a person should do where it is none.
      inputs: how many pictures it takes, all of one shape.
      axes: how many axes an input may have.
      numbers: what whole numbers it is given, by the names of inputs.

    Raises:
      InputError: there is no such file, it holds something else, has other inputs, or onnxruntime
        is missing.
    """
    wanted = (f"{name}ExecutionProvider" for name in ("CUDA", "CoreML", "CPU"))
    errors.require_file(what, path, expected, see)
    runtime: Any = extras.load_extra("onnxruntime", what, path)

    def refused(found: object) -> errors.InputError:
        return errors.InputError(what, path, found, expected, see)

    try:
        here = runtime.get_available_providers()
        providers = [name for name in wanted if name in here]
        session = runtime.InferenceSession(str(path), providers=providers)
        outputs = tuple(x.name for x in session.get_outputs())
        metadata = dict(session.get_modelmeta().custom_metadata_map)
        # Names that are no text are read here, where they are refused.
        entries = session.get_inputs()
        each = ", ".join(f"{x.name} {x.type} {x.shape}" for x in entries)
        described = f"inputs {each}; outputs {', '.join(outputs)}"
    # The library's errors share no other class.
    except Exception as error:
        raise refused(error) from None

    constants = {}
    pictures = []
    for entry in entries:
        if numbers and entry.name in numbers and entry.type in INTEGER_TYPES:
            # () or (1,).
            shape = [1] * len(entry.shape)
            kind = INTEGER_TYPES[entry.type]
            constants[entry.name] = np.full(shape, numbers[entry.name], kind)
        else:
            pictures.append(entry)
    if len(pictures) != inputs:
        raise refused(f"{len(pictures)} inputs of pictures: {described}")
    for entry in pictures:
        fits = len(entry.shape) in axes and entry.type in FLOAT_TYPES
        colors = entry.shape[-3] if fits else None
        # Exporters may leave it free.
        if not fits or (isinstance(colors, int) and colors != 3):
            raise refused(f"an input {entry.type} {entry.shape}")

    def run(*maps: Float32[np.ndarray, "*n 3 h w"]) -> dict[str, np.ndarray]:
        feed = dict(constants)
        for entry, picture in zip(pictures, maps, strict=True):
            feed[entry.name] = picture.astype(FLOAT_TYPES[entry.type])
        try:
            answers = session.run(outputs, feed)
        except Exception as error:
            shapes = " and ".join(str(picture.shape) for picture in maps)
            raise refused(f"{error}, on {shapes}") from None
        arrays = {}
        for name, answer in zip(outputs, answers, strict=True):
            values = np.asarray(answer)
            is_float = values.dtype.kind == "f"
            arrays[name] = values.astype(np.float32) if is_float else values
        return arrays

    runner = Network(run, pictures[0].shape)
    return OnnxFile(refused, runner, outputs, described, metadata)
