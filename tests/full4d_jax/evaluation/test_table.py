"""The page of an evaluation and its numbers for programs."""

import json
import re

from full4d_jax.evaluation.table import COPY, METRICS, PRIOR, markdown, summary


def record(scene: int, *, lpips: bool) -> dict:
    """A scene with two rows; no pixel of it is unseen by LPIPS."""

    def entry(name, depth, psnr):
        values = dict.fromkeys(METRICS, 0.5) | {"psnr": psnr, "lpips_unseen": None}
        values |= {"lpips": 0.3 if lpips else None}
        return {"row": name, "depth": depth, **values}

    rows = [entry(COPY, "none", 10.0), entry(PRIOR, "true", 18.0 + scene)]
    shares = {"hole_fraction": 0.4, "moving_fraction": 0.1}
    return {"group": "held-out", "scene": scene, **shares, "rows": rows}


def test_page_names_every_row_and_says_what_is_missing():
    records = [record(scene, lpips=False) for scene in range(2)]
    page = markdown(summary(records), "# Evaluation", {"LPIPS": "no package"})
    head = "# Evaluation\n\n## held-out: 2 scenes\n\nMeans over clips: hole"
    assert page.startswith(head)
    for text in (COPY, PRIOR, "18.50 ± 0.50", "moving fraction 0.100"):
        assert text in page
    assert "- LPIPS not scored: no package" in page
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({len(line) for line in table.splitlines()}) == 1


def test_a_summary_is_json_and_counts_the_scenes_of_each_score():
    records = [record(scene, lpips=scene > 0) for scene in (1, 0)]
    found = json.loads(json.dumps(summary(records), allow_nan=False))
    shipped = next(row for row in found["rows"] if row["name"] == PRIOR)
    assert shipped["psnr"] == {"mean": 18.5, "error": 0.5, "scenes": 2}
    assert shipped["lpips"]["scenes"] == 1
    assert shipped["lpips"]["error"] is shipped["lpips_unseen"]["mean"] is None
