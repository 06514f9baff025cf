"""Records as bytes keep every field, and say which version they are of; the card is text."""

import numpy as np
import pytest
from textured_room import make_room

from input_pipeline.datasets.card import card, facts
from input_pipeline.datasets.records import from_bytes, to_bytes
from input_pipeline.schema import validate


def same(a, b) -> None:
    for name, x, y in zip(a._fields, a, b, strict=True):
        assert type(x) is type(y), name
        np.testing.assert_array_equal(x, y, err_msg=name)
        if isinstance(x, np.ndarray):
            assert (x.shape, x.dtype) == (y.shape, y.dtype), name


def test_every_field_comes_back(make_example):
    latents = np.random.default_rng(0).normal(size=(3, 1, 2, 4, 5)).astype(np.float16)
    depth = np.full((3, 2), b"", object)
    for example in (
        make_example(),
        make_example(v=1, t=1),
        make_example()._replace(
            latents=latents,
            codec="wan22",
            caption="ein Hündchen, 走る",
            text=latents[0, 0, 0],
            unit=0.5,
        ),
        make_example()._replace(depth16=depth, masks=depth),
    ):
        again = from_bytes(to_bytes(example))
        same(example, again)
        validate(again)


def test_more_than_a_record_can_hold_is_refused(make_example):
    example = make_example(v=8, t=16)
    example.frames.fill(bytes(2**24))  # the same one everywhere
    with pytest.raises(ValueError, match=r"found 2\.00 GiB, expected less than 2 GiB"):
        to_bytes(example)


def test_another_version_is_refused(make_example):
    record = to_bytes(make_example()._replace(version=1))
    with pytest.raises(ValueError, match="record version: found 1, expected 4"):
        from_bytes(record)


def test_no_clip_writes_html_or_rows_into_the_card():
    clip = make_room(views=2, height=16, width=24)._replace(
        scene_id="<img src=x>",
        source="<script>alert(1)</script>\n| a | b |",
        license="MIT & <b>mine</b>",
    )
    text = card("a_name", "made by <i>me</i>", {"train": [facts(clip)]}, 1, "0" * 64)
    assert "<" not in text
    assert "&lt;script>alert(1)&lt;/script>" in text
    assert "MIT &amp; &lt;b>mine&lt;/b>" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 3 for line in rows)
    assert len([row for row in rows if row.startswith("| sources")]) == 1
