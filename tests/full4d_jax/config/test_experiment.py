"""Every field of a config is checked, and every preset passes."""

import dataclasses
from pathlib import Path

import pytest

from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    ModelConfig,
    SamplerConfig,
    check_config,
    load_config,
)
from full4d_jax.config.bounds import ALL_SCENES, BOUNDS
from full4d_jax.config.depth import DepthConfig, DepthDataConfig, DepthNetConfig
from full4d_jax.session.errors import InputError
from input_pipeline.procedural.scene import HELD_OUT_START

WORDS = ("cameras", "records", "buckets")  # tuples of words, not of numbers
CONFIGS = Path(__file__).parents[3] / "configs"
WAN = ModelConfig(codec="wan22", codec_stride=16, patch=2)
TEXT = ModelConfig(text_width=8)
GUIDED = SamplerConfig(text_guidance=5.0)


def windows(*, size, overlap, steps=4, noise=1.0):
    return SamplerConfig(steps=steps, noise=noise, window_frames=size, window_overlap=overlap)


def numbers(config, prefix=""):
    """Dotted names of all fields that hold numbers."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from numbers(value, f"{prefix}{field.name}.")
        elif not isinstance(value, (str, bool)) and field.name not in WORDS:
            yield prefix + field.name


def test_groups_windows_and_texts_pass():
    check_config(Config(sampler=dataclasses.replace(windows(size=4, overlap=2), group_views=2)))
    check_config(Config(sampler=windows(size=4, overlap=0, steps=1, noise=0.0)))
    check_config(Config(model=TEXT, negative_text="a.npz", sampler=GUIDED))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_presets_pass(path):
    check_config(load_config(path))


def test_every_number_has_a_bound():
    assert set(BOUNDS) == {*numbers(Config()), *numbers(DepthConfig())}


def test_held_out_scenes_are_beyond_all_others():
    assert ALL_SCENES == HELD_OUT_START


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("seed", Config(seed=-1)),
        ("name", Config(name=3)),  # pyright: ignore[reportArgumentType]
        ("model.heads", Config(model=ModelConfig(width=30, heads=2))),  # heads of 15
        ("model.heads", Config(model=ModelConfig(width=48, heads=4, cameras=("prope",)))),
        ("model.width", Config(model=ModelConfig(width="wide"))),  # pyright: ignore
        ("model.projection", Config(model=ModelConfig(projection="frame"))),  # pyright: ignore
        ("model.cameras", Config(model=ModelConfig(cameras=("ray",)))),  # pyright: ignore
        ("data.frames", Config(data=DataConfig(frames=2.0))),  # pyright: ignore
        ("data.frames", Config(data=DataConfig(frames=True))),
        ("data.width", Config(data=DataConfig(width=60))),
        ("data.frames", Config(model=WAN, data=DataConfig(frames=8))),
        ("model.codec_stride", Config(model=dataclasses.replace(WAN, codec_stride=8))),
        ("flow.mean_share", Config(flow=FlowConfig(mean_share=float("nan")))),
        ("sampler.group_views", Config(sampler=SamplerConfig(group_views=1))),
        ("sampler.window_frames", Config(sampler=SamplerConfig(window_frames=-1))),
        ("sampler.window_overlap", Config(sampler=windows(size=4, overlap=4))),
        ("sampler.window_overlap", Config(sampler=windows(size=0, overlap=1))),
        ("sampler.window_overlap", Config(sampler=windows(size=4, overlap=2, steps=1))),
        ("sampler.window_overlap", Config(sampler=windows(size=4, overlap=2, noise=0.0))),
        ("sampler.text_guidance", Config(text="a.npz", sampler=GUIDED)),  # a model without text
        ("sampler.text_guidance", Config(model=TEXT, sampler=GUIDED)),  # nothing to guide to
        ("sampler.text_guidance", Config(text="a", negative_text="a", model=TEXT, sampler=GUIDED)),
        ("model.heads", DepthConfig(model=DepthNetConfig(heads=3))),
        ("model.widths", DepthConfig(model=DepthNetConfig(widths=(8, 16)))),  # pyright: ignore
        ("data.sizes", DepthConfig(data=DepthDataConfig(sizes=()))),
        ("data.sizes", DepthConfig(data=DepthDataConfig(sizes=((64, 60),)))),
        ("data.sizes", DepthConfig(data=DepthDataConfig(sizes=(64, 64)))),  # pyright: ignore
        ("data.early_sizes", DepthConfig(data=DepthDataConfig(early_sizes=((64, 8),)))),
    ],
)
def test_the_field_is_named(name, config):
    with pytest.raises(InputError, match=rf"^config: {name}: found .* expected .*--{name}$"):
        check_config(config)
