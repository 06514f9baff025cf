"""Messages are one line that no terminal obeys."""

import errno
import struct

import cv2
import pytest

from full4d_jax.session.errors import InputError, input_errors


def test_control_characters_are_shown_as_escapes():
    error = InputError("video", "a\x1b[31m\x07.mp4", "x\rfull4d: done\x9b2J", "a\nvideo", "retry")
    assert str(error) == (
        r"video: a\x1b[31m\x07.mp4: found x\rfull4d: done\x9b2J, expected a video; retry"
    )


def test_what_was_found_is_cut():
    assert len(str(InputError("a", "b", "c" * 10_000_000, "d", "e"))) < 1100


@pytest.mark.parametrize(
    "error",
    [
        KeyError("sha256"),
        struct.error("unpack requires a buffer"),
        cv2.error("(-215:Assertion failed)"),
    ],
)
def test_what_readers_raise_for_strange_content_is_one_line(error):
    with pytest.raises(InputError) as caught, input_errors("scene", "give another file", "a.ply"):
        raise error
    line = str(caught.value)
    assert line.startswith("scene: a.ply: found what cannot be read")
    assert type(error).__name__ in line
    assert "test_errors.py" in line
    assert caught.value.__cause__ is error
    assert "\n" not in line


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("a bug"), MemoryError()],
)
def test_a_full_disk_and_a_bug_are_not_about_the_input(error):
    with pytest.raises(type(error)), input_errors("scene", "give another file"):
        raise error


def test_errors_in_words_keep_their_words():
    with pytest.raises(InputError) as caught, input_errors("scene", "give another file", "b"):
        raise ValueError("a.ply: found no end, expected a whole file")
    assert str(caught.value) == (
        "scene: a.ply: found no end, expected a whole file; give another file"
    )
