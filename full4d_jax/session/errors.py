"""Errors of bad input as one line: what, where, found, expected, what to do.

Anything the user gave us (a file, a field, a checkpoint) that cannot be used raises `InputError`
before long work starts; the command line prints it as one line and leaves with exit code 2.
Another process of the same command that is not there is a `PeerError`, which time alone mends.
Everything else is a bug and keeps its traceback.
"""

import contextlib
import errno
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.plain_files import what_is_there

IN_WORDS = re.compile(r"(.*?): found (.*), expected (.*)", re.DOTALL)
# What readers raise for content that was not expected; those of a few libraries beside them.
OF_READERS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
)


class InputError(ValueError):
    """Unusable input, described in one line: `what: where: found ..., expected ...; do`.

    Attributes:
      exit_code: with which the command line leaves: 2, the same command fails again.
    """

    exit_code = 2

    def __init__(
        self, what: str, where: str | Path, found: object, expected: object, do: str
    ):
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
        # An error of a library may have no message.
        found = printable(str(found) or repr(found))
        most_characters = 1000
        if len(found) > most_characters:
            found = f"{found[:most_characters]} ..."
        line = (
            printable(f"{what}: {where}")
            + f": found {found}, expected {expected}; {do}"
        )
        super().__init__(" ".join(line.split()))


class PeerError(InputError):
    """Another process died or failed. The same commands may resume, so the exit code is 75."""

    exit_code = os.EX_TEMPFAIL


def printable(text: str) -> str:
    """Return a text with its control characters as escapes, so that no terminal obeys them."""

    def shown(c: str) -> bool:
        return c.isprintable() or (c.isspace() and c != "\r")

    return "".join(c if shown(c) else repr(c)[1:-1] for c in text)


def log(line: str) -> None:
    """Print a line that may hold names from a stranger's files, with control characters escaped."""
    print(printable(line))


def as_input_error(what: str, error: Exception, do: str) -> InputError:
    """Return an error "where: found ..., expected ..." of another package as an `InputError`.

    Raises:
      Exception: The error itself, where it has another form.
    """
    parts = IN_WORDS.fullmatch(str(error))
    if parts is None:
        raise error
    return InputError(what, parts[1], parts[2], parts[3], do)


@contextlib.contextmanager
def input_errors(what: str, do: str, where: str | Path = "") -> Iterator[None]:
    """Turn errors about bad input into `InputError`.

    Those are ValueErrors of `input_pipeline` and `gaussians` that say what was found and expected,
    and what readers and libraries raise for content of any kind that was not expected.

    Args:
      what: the kind of thing that is read in this context.
      do: what the person should do.
      where: the file or folder that is read; default: what the error names, else the code's place.

    Raises:
      InputError: In place of them.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and IN_WORDS.fullmatch(str(error)):
            raise as_input_error(what, error, do) from error
        if not _is_of_a_reader(error):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        found = (
            f"what cannot be read ({type(error).__name__}: {error!s:.200}, at {place})"
        )
        do = f"{do}; --debug shows where it failed"
        where = where or "its content"
        raise InputError(what, where, found, "a whole and valid one", do) from error


def _is_of_a_reader(error: Exception) -> bool:
    """Return whether readers raise such errors for a file's content; a full disk is not one."""
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return False
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OF_READERS) or library in ("cv2", "av", "struct", "zlib")


def require_file(what: str, path: str | Path, expected: str, do: str) -> None:
    """Refuse a path where there is no regular file.

    Raises:
      InputError: The message names the path.
    """
    if found := what_is_there(Path(path)):
        raise InputError(what, path, found, expected, do)


def require_ending(target: Path, ending: str) -> None:
    """Refuse a file to write whose name has another ending.

    Raises:
      InputError: The message names the file.
    """
    if target.suffix != ending:
        do = "give another name"
        raise InputError("target", target, target.suffix or "no suffix", ending, do)
