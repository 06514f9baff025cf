"""Messages are one line that no terminal obeys."""

from full4d_jax.session.errors import InputError


def test_control_characters_are_shown_as_escapes():
    error = InputError("video", "a\x1b[31m\x07.mp4", "x\rfull4d: done\x9b2J", "a\nvideo", "retry")
    assert str(error) == (
        r"video: a\x1b[31m\x07.mp4: found x\rfull4d: done\x9b2J, expected a video; retry"
    )


def test_what_was_found_is_cut():
    assert len(str(InputError("a", "b", "c" * 10_000_000, "d", "e"))) < 1100
