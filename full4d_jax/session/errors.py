"""The one exception for input that a person can mend: what, where, found, expected, what to do.

Anything the user gave us (a file, a field, a checkpoint) that cannot be used raises `InputError`
before long work starts; the command line prints it as one line and leaves with exit code 2.
Everything else is a bug and keeps its traceback.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path


class InputError(ValueError):
    """Unusable input, told in one line: `what: where: found ..., expected ...; do`."""

    def __init__(self, what: str, where: str | Path, found: object, expected: object, do: str):
        """Keep the five parts as attributes and join them into the message.

        Args:
          what: the kind of thing that is wrong, e.g. "video" or "camera file".
          where: the file, field or argument it was read from.
          found: what was there.
          expected: what could have been used.
          do: what the person should do now.
        """
        self.what, self.where, self.found, self.expected, self.do = what, where, found, expected, do
        line = f"{what}: {where}: found {found}, expected {expected}; {do}"
        super().__init__(" ".join(line.split()))


def as_input_error(what: str, error: ValueError, do: str) -> InputError:
    """What other packages say, "where: found ..., expected ...", in the words of this one.

    Raises:
      ValueError: the error itself, if it does not say that.
    """
    parts = re.fullmatch(r"(.*?): found (.*), expected (.*)", str(error), re.DOTALL)
    if parts is None:
        raise error
    return InputError(what, parts[1], parts[2], parts[3], do)


@contextlib.contextmanager
def input_errors(what: str, do: str) -> Iterator[None]:
    """Around a use of `input_pipeline` or `gaussians`, whose errors `as_input_error` tells.

    Raises:
      InputError: in place of a ValueError that says what was found and expected.
    """
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise as_input_error(what, error, do) from error


def require_file(what: str, path: str | Path, expected: str, do: str) -> None:
    """Refuse a path where there is nothing, or a folder.

    Raises:
      InputError: naming the path.
    """
    if not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "no such file"
        raise InputError(what, path, found, expected, do)
