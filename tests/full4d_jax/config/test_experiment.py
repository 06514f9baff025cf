"""Every field of a config is checked, and every preset passes."""

import re
import typing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    LiftConfig,
    ModelConfig,
    SamplerConfig,
    check_config,
    load_config,
)
from full4d_jax.config.experiment import ALL_SCENES
from full4d_jax.session.errors import InputError
from full4d_jax.session.fields import Between, check_fields, fields_of
from input_pipeline.procedural.scene import HELD_OUT_START

CONFIGS = Path(__file__).parents[3] / "configs"
WAN = ModelConfig(codec="wan22", codec_stride=16, patch=2)
DATA = DataConfig(frames=9)
TEXT = ModelConfig(text_width=8)
POSELESS = ModelConfig(projection="none", cameras=())
MIXED = DataConfig(records=("a",), videos="b", pseudo=0.5)
GUIDED = SamplerConfig(text_guidance=5.0)


def windows(*, size, overlap, steps=4, noise=1.0):
    return SamplerConfig(steps=steps, noise=noise, window_frames=size, window_overlap=overlap)


def parted(*, views=0, frames=0):
    return LiftConfig(distillation="gradient", distilled_views=views, distilled_frames=frames)


def plain_numbers(hint):
    """Whether an annotation takes numbers of any size."""
    if hint in (int, float):
        return True
    parts = typing.get_args(hint)
    bounded = any(isinstance(part, Between) for part in parts)
    return not bounded and any(plain_numbers(part) for part in parts)


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


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_presets_pass(path):
    check_config(load_config(path))


def test_every_number_has_a_bound():
    assert not [name for name, _, hint in fields_of(Config()) if plain_numbers(hint)]
    assert plain_numbers(float | None)
    assert plain_numbers(tuple[int, ...])


@dataclass(frozen=True)
class Orbit:
    azimuth: typing.Annotated[float, Between(0, 180)] = 30.0
    fps: typing.Annotated[float, Between(1e-3, 1000)] | None = None
    name: typing.Annotated[str, "a mark for others"] = "arc"


def test_options_are_checked_by_the_same_bounds():
    check_fields(Orbit(180, 6.0), what="option")
    with pytest.raises(InputError, match=r"^option: --azimuth: found 200, expected 0 to 180; give"):
        check_fields(Orbit(azimuth=200), what="option")
    with pytest.raises(InputError, match=r"^option: --fps: found 0.0, expected 0.001 to 1000"):
        check_fields(Orbit(fps=0.0), what="option")
    with pytest.raises(InputError, match=r"--name: found 3, expected a value of type str"):
        check_fields(Orbit(name=3), what="option")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("data.records", "A", "a tuple of str"),
        ("model.cameras", "linear", "a tuple, each one of linear, plucker, prope"),
        ("data.strides", 1, "a tuple, each a whole number of at least 1, below 2^31"),
    ],
)
def test_a_value_outside_a_tuple_is_told_of_the_tuple(name, value, expected):
    message = re.escape(f"found {value!r}, expected {expected}; change")
    with pytest.raises(InputError, match=message):
        check_config(put(Config(), name, value))


def test_held_out_scenes_are_beyond_all_others():
    assert ALL_SCENES == HELD_OUT_START


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("seed", Config(seed=-1)),
        ("name", put(Config(), "name", 3)),
        ("model.heads", Config(model=ModelConfig(width=30, heads=2))),  # heads of 15
        ("model.heads", Config(model=ModelConfig(width=48, heads=4, cameras=("prope",)))),
        ("model.width", put(Config(), "model.width", "wide")),
        ("model.projection", put(Config(), "model.projection", "frame")),
        ("model.cameras", put(Config(), "model.cameras", ("ray",))),
        ("data.frames", put(Config(), "data.frames", 2.0)),
        ("data.frames", Config(data=DataConfig(frames=True))),
        ("data.width", Config(data=DataConfig(width=60))),
        ("data.frames", Config(data=DataConfig(views=10**6, frames=10**6))),
        ("training.batch", put(Config(), "training.batch", 10**9)),
        ("model.layers", put(Config(), "model.layers", 10**9)),
        ("model.width", put(Config(), "model.width", 2**30)),
        ("data.frames", Config(model=WAN, data=DataConfig(frames=8))),
        ("model.codec_stride", Config(model=replace(WAN, codec_stride=8))),
        ("flow.mean_share", Config(flow=FlowConfig(mean_share=float("nan")))),
        ("sampler.group_views", Config(sampler=SamplerConfig(group_views=1))),
        ("sampler.window_frames", Config(sampler=SamplerConfig(window_frames=-1))),
        ("lift.distilled_views", Config(lift=LiftConfig(distilled_views=1))),
        ("lift.distilled_frames", Config(lift=LiftConfig(distilled_frames=1))),
        ("lift.distilled_frames", Config(model=WAN, data=DATA, lift=parted(frames=6))),
        ("sampler.window_overlap", Config(sampler=windows(size=4, overlap=4))),
        ("sampler.window_overlap", Config(sampler=windows(size=0, overlap=1))),
        ("sampler.window_overlap", Config(sampler=windows(size=4, overlap=2, steps=1))),
        ("sampler.window_overlap", Config(sampler=windows(size=4, overlap=2, noise=0.0))),
        ("sampler.text_guidance", Config(text="a.npz", sampler=GUIDED)),  # a model without text
        ("sampler.text_guidance", Config(model=TEXT, sampler=GUIDED)),  # nothing to guide to
        ("sampler.text_guidance", Config(text="a", negative_text="a", model=TEXT, sampler=GUIDED)),
        ("data.videos", put(Config(), "data.videos", "a")),
        ("data.pseudo", put(Config(), "data.pseudo", 0.5)),
        ("data.projections", Config(data=replace(MIXED, projections=2))),
        ("data.pseudo_views", put(Config(), "data.pseudo_views", 4)),
        ("data.pseudo_views", Config(model=POSELESS, data=replace(MIXED, pseudo_views=4))),
        ("data.held_out", put(Config(), "data.held_out", 0.1)),
        ("data.held_out", Config(data=DataConfig(records=("a",), held_out=1.0))),
        ("training.validate_every", put(Config(), "training.validate_every", 5)),
        ("data.pseudo", Config(model=POSELESS, data=replace(MIXED, pseudo=1.0))),
    ],
)
def test_the_field_is_named(name, config):
    with pytest.raises(InputError, match=rf"^config: {name}: found .* expected .*--{name}$"):
        check_config(config)
