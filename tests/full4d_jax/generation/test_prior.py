"""What a prior depends on."""

from pathlib import Path

from full4d_jax.config import Config, ModelConfig
from full4d_jax.generation.prior import prior_path, prior_settings
from full4d_jax.session.stages import fingerprint


def mark(mask: str) -> str:
    config = Config(model=ModelConfig(mask=mask))
    return fingerprint("grid", prior_settings(config, prior_path(config.model)), {})


def test_a_grid_depends_on_the_contents_of_a_mask_file(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text("def same(i, j): return i.view == j.view")
    mask = f"{file}:same"
    first = mark(mask)
    assert mark(mask) == first
    file.write_text("def same(i, j): return i.time == j.time")
    assert mark(mask) != first
    config = Config()
    assert "mask" not in prior_settings(config, prior_path(config.model))
