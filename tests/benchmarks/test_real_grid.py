"""The picture of a grid filled from real pictures."""

import importlib
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def test_given_pictures_alone_have_a_border(monkeypatch):
    """Row and column of the filled grid have one, no true picture has."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("real_grid")
    sheets = {}
    monkeypatch.setattr(
        module, "contact_sheet", lambda cells, **words: sheets.update(words) or cells
    )
    grey = np.full((3, 2, 8, 8, 3), 0.5)
    real = np.array([[True, True], [True, False], [True, False]])
    cells = module.drawn(grey, grey, real)
    bordered = (cells[:, :, 0, 0] == module.REAL_BORDER).all(-1)
    np.testing.assert_array_equal(bordered, np.concatenate([np.zeros((3, 2), bool), real], 1))
    assert (len(sheets["rows"]), len(sheets["columns"])) == (3, 4)
