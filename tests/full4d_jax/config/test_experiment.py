"""Every field of a config is checked, and every preset passes."""

from dataclasses import replace
from pathlib import Path

import pytest

from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    LiftConfig,
    ModelConfig,
    RealFrames,
    SamplerConfig,
    check_config,
    load_config,
)
from full4d_jax.session.errors import InputError

CONFIGS = Path(__file__).parents[3] / "configs"
WAN = ModelConfig(codec="wan22", codec_stride=16, patch=2)
DATA = DataConfig(frames=9)
TEXT = ModelConfig(text_width=8)
POSELESS = ModelConfig(guide=RealFrames(), cameras=())
MIXED = DataConfig(records=("a",), videos="b", pseudo=0.5)
GUIDED = SamplerConfig(text_guidance=5.0)


def windows(*, size, overlap, steps=4, noise=1.0):
    return SamplerConfig(steps, noise, window_frames=size, window_overlap=overlap)


def parted(*, views=0, frames=0):
    config = LiftConfig(distillation="gradient", distilled_views=views)
    return replace(config, distilled_frames=frames)


def put(config, name, value):
    """The config with a value in one field, whatever its type."""
    room, _, field = name.rpartition(".")
    part = replace(getattr(config, room) if room else config)
    object.__setattr__(part, field, value)
    return replace(config, **{room: part}) if room else part


def test_groups_windows_mixtures_and_texts_pass():
    check_config(Config(sampler=replace(windows(size=4, overlap=2), group_views=2)))
    check_config(Config(sampler=windows(size=4, overlap=0, steps=1, noise=0.0)))
    check_config(Config(model=POSELESS, data=MIXED))
    check_config(Config(model=TEXT, negative_text="a.npz", sampler=GUIDED))
    check_config(Config(model=WAN, data=DATA, lift=parted(views=2, frames=5)))


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem
)
def test_presets_pass(path):
    check_config(load_config(path))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("seed", Config(seed=-1)),
        ("model.heads", Config(model=ModelConfig(width=30, heads=2))),  # heads of 15
        ("data.frames", put(Config(), "data.frames", 2.0)),
        ("data.width", Config(data=DataConfig(width=60))),
        ("training.batch", put(Config(), "training.batch", 10**9)),
        ("data.frames", Config(model=WAN, data=DataConfig(frames=8))),
        ("flow.mean_share", Config(flow=FlowConfig(mean_share=float("nan")))),
        ("sampler.group_views", Config(sampler=SamplerConfig(group_views=1))),
        ("lift.distilled_frames", Config(model=WAN, data=DATA, lift=parted(frames=6))),
        ("lift.distilled_views", Config(lift=LiftConfig(distilled_views=2))),
        ("lift.quality", Config(lift=LiftConfig("high", steps=5, capacity=9))),
        ("sampler.window_overlap", Config(sampler=windows(size=4, overlap=4))),
        # A model without text.
        ("sampler.text_guidance", Config(text="a.npz", sampler=GUIDED)),
        ("data.pseudo", put(Config(), "data.pseudo", 0.5)),
        ("data.projections", Config(data=replace(MIXED, projections=2))),
        (
            "data.pseudo_views",
            Config(model=POSELESS, data=replace(MIXED, pseudo_views=4)),
        ),
        ("data.held_out", Config(data=DataConfig(records=("a",), held_out=1.0))),
        ("training.validate_every", put(Config(), "training.validate_every", 5)),
    ],
)
def test_the_field_is_named(name, config):
    told = rf"^config: {name}: found .* expected .*--{name}$"
    with pytest.raises(InputError, match=told):
        check_config(config)
