"""Networks in .onnx files that take pictures; onnxruntime (the extra `depth`) runs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float32
from numpy import ndarray

from full4d_jax.session.errors import InputError, require_file
from full4d_jax.session.extras import load_extra


class Network(NamedTuple):
    """A network that is ready to be called.

    Attributes:
      run: maps pictures (n 3 h w) float32, one array for each input, to one output; those of a
        network that sees several frames at once are (1 n 3 h w).
      shape: shape of its inputs; free axes are names or None.
      outputs: names of all its outputs.
    """

    run: Callable[..., ndarray]
    shape: list[int | str | None]
    outputs: tuple[str, ...] = ()

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the input's rows and columns; the given ones where these are free."""
        rows, columns = self.shape[-2:]
        return (
            rows if isinstance(rows, int) else height,
            columns if isinstance(columns, int) else width,
        )


def open_network(
    what: str,
    path: Path,
    expected: str,
    see: str,
    inputs: int = 1,
    *,
    axes: tuple[int, ...] = (4,),
    output: str = "",
) -> Network:
    """Open the network in an .onnx file.

    Args:
      what: what the network is for, for messages.
      path: of the file.
      expected: what kind of network it should be.
      see: what a person should do where it is none.
      inputs: how many it has, all of one shape.
      axes: how many axes an input may have.
      output: word in the name of the output that is wanted; without such a name it is the first.

    Raises:
      InputError: there is no such file, it holds something else, or onnxruntime is missing.
    """
    require_file(what, path, expected, see)
    runtime: Any = load_extra("onnxruntime", what, path)
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        entries = session.get_inputs()
        outputs = [x.name for x in session.get_outputs()]
    except Exception as error:  # the library's errors share no other class
        raise InputError(what, path, error, expected, see) from None
    if len(entries) != inputs:
        raise InputError(what, path, f"{len(entries)} inputs", expected, see)
    for entry in entries:
        fits = len(entry.shape) in axes and entry.type == "tensor(float)"
        colors = entry.shape[-3] if fits else None
        if not fits or (isinstance(colors, int) and colors != 3):  # exporters may leave it free
            raise InputError(what, path, f"an input {entry.type} {entry.shape}", expected, see)
    names = [entry.name for entry in entries]
    wanted = next((name for name in outputs if output in name.lower()), outputs[0])

    def run(*pictures: Float32[ndarray, "*n 3 h w"]) -> ndarray:
        try:
            return session.run([wanted], dict(zip(names, pictures, strict=True)))[0]
        except Exception as error:  # as above
            shapes = " and ".join(str(picture.shape) for picture in pictures)
            raise InputError(what, path, f"{error}, on {shapes}", expected, see) from None

    return Network(run, entries[0].shape, tuple(outputs))
