"""Messages are one line that no terminal obeys."""

import struct

import pytest

from full4d_jax.session.errors import InputError, input_errors


def test_control_characters_are_shown_as_escapes():
    error = InputError(
        "video", "a\x1b[31m\x07.mp4", "x\rdone\x9b2J", "a\nvideo", "retry"
    )
    told = r"video: a\x1b[31m\x07.mp4: found x\rdone\x9b2J, expected a video; retry"
    assert str(error) == told


def test_what_readers_raise_for_strange_content_is_one_line():
    error = struct.error("unpack requires\na buffer")
    with (
        pytest.raises(InputError) as caught,
        input_errors("scene", "give another file", "a.ply"),
    ):
        raise error
    line = str(caught.value)
    assert line.startswith("scene: a.ply: found what cannot be read")
    assert "error" in line
    assert "test_errors.py" in line
    assert caught.value.__cause__ is error
    assert "\n" not in line
