"""The one exception for input that a person can mend: what, where, found, expected, what to do.

Anything the user gave us (a file, a field, a checkpoint) that cannot be used raises `InputError`
before long work starts; the command line prints it as one line and leaves with exit code 2.
Everything else is a bug and keeps its traceback.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

MAX_CHARACTERS = 1000  # characters of what was found


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
        self.what = what
        self.where = where
        self.found = found
        self.expected = expected
        self.do = do
        found = printable(str(found))
        found = found if len(found) <= MAX_CHARACTERS else f"{found[:MAX_CHARACTERS]} ..."
        line = printable(f"{what}: {where}") + f": found {found}, expected {expected}; {do}"
        super().__init__(" ".join(line.split()))


def printable(text: str) -> str:
    """Return a text with its control characters as escapes, so that no terminal obeys them."""
    shown = (c if c.isprintable() or (c.isspace() and c != "\r") else repr(c)[1:-1] for c in text)
    return "".join(shown)


def tell(line: str) -> None:
    """Print a line that may hold names from a stranger's files, with control characters escaped."""
    print(printable(line))


def as_input_error(what: str, error: ValueError, do: str) -> InputError:
    """Return an error "where: found ..., expected ..." of another package as an `InputError`.

    Raises:
      ValueError: The error itself, where it has another form.
    """
    parts = re.fullmatch(r"(.*?): found (.*), expected (.*)", str(error), re.DOTALL)
    if parts is None:
        raise error
    return InputError(what, parts[1], parts[2], parts[3], do)


@contextlib.contextmanager
def input_errors(what: str, do: str) -> Iterator[None]:
    """Turn errors of `input_pipeline` and `gaussians` about bad input into `InputError`.

    Raises:
      InputError: In place of a ValueError that says what was found and expected.
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
      InputError: The message names the path.
    """
    if not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "no such file"
        raise InputError(what, path, found, expected, do)


def require_range(name: str, value: int | float, low: int | float, high: int | float) -> None:
    """Refuse the value of an option that is out of bounds.

    Raises:
      InputError: The message names the option.
    """
    if not low <= value <= high:
        do = "give a value in that range"
        raise InputError("option", name, value, f"{low} to {high}", do)


def require_ending(target: Path, ending: str) -> None:
    """Refuse a file to write whose name has another ending.

    Raises:
      InputError: The message names the file.
    """
    if target.suffix != ending:
        do = "give another name"
        raise InputError("target", target, target.suffix or "no suffix", ending, do)
