"""The card of a data set is text, whatever its clips say of themselves."""

from textured_room import make_room

from input_pipeline.datasets.card import card, facts


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
