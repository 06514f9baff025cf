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
      run: maps pictures (n 3 h w) float32, one array for each input, to the first output.
      shape: input shape (n 3 h w); free axes are names or None.
    """

    run: Callable[..., ndarray]
    shape: list[int | str | None]

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the input's rows and columns; the given ones where these are free."""
        rows, columns = self.shape[2:]
        return (
            rows if isinstance(rows, int) else height,
            columns if isinstance(columns, int) else width,
        )


def open_network(what: str, path: Path, expected: str, see: str, inputs: int = 1) -> Network:
    """Open the network in an .onnx file.

    Args:
      what: what the network is for, for messages.
      path: of the file.
      expected: what kind of network it should be.
      see: what a person should do where it is none.
      inputs: how many it has, all of one shape.

    Raises:
      InputError: there is no such file, it holds something else, or onnxruntime is missing.
    """
    require_file(what, path, expected, see)
    runtime: Any = load_extra("onnxruntime", what, path)
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        entries = session.get_inputs()
    except Exception as error:  # the library's errors share no other class
        raise InputError(what, path, error, expected, see) from None
    if len(entries) != inputs:
        raise InputError(what, path, f"{len(entries)} inputs", expected, see)
    for entry in entries:
        if len(entry.shape) != 4 or entry.shape[1] != 3 or entry.type != "tensor(float)":
            raise InputError(what, path, f"an input {entry.type} {entry.shape}", expected, see)
    names = [entry.name for entry in entries]

    def run(*pictures: Float32[ndarray, "n 3 h w"]) -> ndarray:
        return session.run(None, dict(zip(names, pictures, strict=True)))[0]

    return Network(run, entries[0].shape)
