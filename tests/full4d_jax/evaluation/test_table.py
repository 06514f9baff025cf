import json
import re

import pytest

from full4d_jax.evaluation.table import (
    COPY,
    INPAINT,
    METRICS,
    PRIOR,
    PUSH_PULL,
    markdown,
    summary,
)


def record(scene, gain, *, hole=0.4, lpips=True, group="held-out"):
    """A scene where the prior beats both fills by `gain` dB and `gain / 100` LPIPS."""

    def entry(name, depth, psnr):
        values = dict.fromkeys(METRICS, 0.5) | {"psnr": psnr, "psnr_unseen": psnr - 3.0}
        values |= {"lpips": 0.5 - psnr / 100 if lpips else None, "lpips_unseen": None}
        return {"row": name, "depth": depth, **values}

    rows = [entry(COPY, "none", 10.0)]
    for depth, loss in {"true": 0.0, "ours": 1.0}.items():
        base = 15.0 + scene - loss
        rows += [entry(INPAINT, depth, base), entry(PUSH_PULL, depth, base)]
        rows += [entry(PRIOR, depth, base + gain)]
    shares = {"hole_fraction": hole, "moving_fraction": 0.1, "depth_absrel": 0.2}
    return {"group": group, "scene": scene, **shares, "rows": rows}


def test_differences_pair_by_scene_whatever_the_order():
    """Scenes differ by dB, gains by .1: only pairing leaves a small error."""
    records = [record(scene, 3.0 + 0.1 * (scene % 2)) for scene in (3, 0, 2, 1)]
    found = summary(records)
    pair = {"name": PRIOR, "depth": "true"}
    gain = next(
        x for x in found["differences"] if x.items() >= (pair | {"minus": INPAINT}).items()
    )
    assert gain["psnr"]["mean"] == pytest.approx(3.05)
    assert gain["psnr"]["error"] < 0.05
    row = next(x for x in found["rows"] if x.items() >= pair.items())
    assert row["psnr"]["error"] > 0.5
    assert gain["lpips"]["mean"] == pytest.approx(0.0305)
    assert gain["lpips_unseen"]["mean"] is None


def test_page_names_every_row_and_says_what_is_missing():
    records = [record(scene, 3.0, lpips=False) for scene in range(2)]
    page = markdown(summary(records), "# Evaluation", {"LPIPS": "no package"})
    assert page.startswith(
        "# Evaluation\n\n## held-out: 2 scenes\n\nMeans over clips: hole"
    )
    for text in (COPY, f"{PRIOR} − {INPAINT}", "18.50 ± 0.50", "+3.00 ± 0.00"):
        assert text in page
    assert "- LPIPS not scored: no package" in page
    assert "moving fraction 0.100" in page
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({len(line) for line in table.splitlines()}) == 1


def test_a_summary_is_json_and_counts_the_scenes_of_each_score():
    records = [record(scene, 3.0, lpips=scene > 0) for scene in range(2)]
    found = json.loads(json.dumps(summary(records), allow_nan=False))
    shipped = next(row for row in found["rows"] if row["name"] == PRIOR)
    assert shipped["psnr"] == {"mean": 18.5, "error": 0.5, "scenes": 2}
    assert shipped["lpips"]["scenes"] == 1
    assert shipped["lpips"]["error"] is shipped["lpips_unseen"]["mean"] is None
    pairs = {(d["name"], d["minus"]) for d in found["differences"]}
    assert pairs == {(PRIOR, fill) for fill in (INPAINT, PUSH_PULL)}
