"""The examples of the renderer's page run as written."""

import doctest
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "renderer.md"


def test_the_examples_in_the_renderer_page_run():
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0
