"""Trains the upsampler on crops of rendered frames.

    python recipes/train_upsampler.py [--photos PHOTOS --videos VIDEOS]

With e the difference of made and true frames, the loss is

    mean sqrt(e^2 + s^2) + mean e^2 / 2 + mean sqrt((differences of e)^2 + s^2)

where differences are those between neighbouring pixels along both axes and s = `SOFT` rounds the
absolute values off, plus `perceptual` times LPIPS from a share of the steps on. LPIPS counts where
the projection is at most `upsampler.DETAIL_DISTANCE` pixels away. Farther into holes nothing shows
the details, and what lowers LPIPS there is a pattern that is in no scene.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array, Float
from small_networks import (
    Metrics,
    descend,
    frozen_lpips,
    late_lpips,
    run,
    write_network,
)
from upsampler_pairs import Pair, UpsamplerSettings, batches, drawn_pairs

from full4d_jax.config import DEFAULT
from full4d_jax.generation.prior import open_prior
from full4d_jax.media.metrics import Distance
from full4d_jax.models.functional import Params, draw_params
from full4d_jax.models.nets.unet import near, upsample, upsampling_net
from full4d_jax.session.errors import input_errors
from full4d_jax.source.depth.our_network import load_depth
from full4d_jax.training.state import TrainState
from input_pipeline.media_files import training_clips

# Rounds absolute errors off, in units of frames in [-1, 1].
SOFT = 0.01
DEFAULT_SETTINGS = UpsamplerSettings()


def main(
    settings: Annotated[UpsamplerSettings, tyro.conf.arg(name="")] = DEFAULT_SETTINGS,
    *,
    out: Path = Path("runs/upsampler"),
    init: Path | None = None,
) -> None:
    """Train to the last step and write `upsampler.safetensors` and `upsampler.json` to `out`.

    Args:
      settings: the options.
      out: folder for everything.
      init: weights to start from.
    """
    prior = open_prior(DEFAULT, Path(settings.prior) if settings.prior else None)
    with input_errors("videos", "give another folder"):
        clips = training_clips(settings.videos) if settings.videos else []
    params, summary = run(
        settings,
        out,
        init,
        draw_params(upsampling_net, settings.model, jax.random.key(settings.seed)),
        partial(train_step, settings),
        partial(
            batches,
            settings,
            partial(drawn_pairs, settings, prior, load_depth(), clips),
        ),
        frozen_lpips(settings),
    )
    weights = out / "upsampler.safetensors"
    write_network(
        weights, params, settings.model, summary, prior_rows=settings.prior_rows
    )


def train_step(
    settings: UpsamplerSettings,
    state: TrainState,
    pair: Pair,
    distance: Distance | None = None,
) -> tuple[TrainState, Metrics]:
    """Take one step, a pure function; `distance` is LPIPS where it counts in the loss."""

    def total(params: Params) -> tuple[Float[Array, ""], Metrics]:
        made = upsample(settings.model, params, pair.guidance)
        value = loss(made, pair.truth, pair.counts)
        squares = pair.counts[..., None] * (made - pair.truth) ** 2
        error = squares.sum() / jnp.maximum(3 * pair.counts.sum(), 1)
        if distance is not None:
            is_judged = near(pair.guidance.mask) * pair.counts
            judged = jnp.where(is_judged[..., None] > 0, made, pair.truth)
            judged = jnp.clip(judged / 2 + 0.5, 0, 1)
            value += late_lpips(
                settings, state.step, distance, judged, pair.truth / 2 + 0.5
            )
        return value, {"loss": value, "psnr": -10 * jnp.log10(error / 4)}

    return descend(settings, state, total)


def loss(
    made: Float[Array, "b h w 3"],
    truth: Float[Array, "b h w 3"],
    counts: Float[Array, "b h w"],
) -> Float[Array, ""]:
    """Return the module's loss without LPIPS; `counts` is 1 for pixels that count, else 0.

    Where it is 0 the error is 0, also in the differences of neighbours.
    """
    error = counts[..., None] * (made - truth)

    def soft(x: Float[Array, "..."]) -> Float[Array, ""]:
        return jnp.sqrt(x**2 + SOFT**2).mean()

    edges = soft(jnp.diff(error, axis=1)) + soft(jnp.diff(error, axis=2))
    return soft(error) + (error**2).mean() / 2 + edges / 2


if __name__ == "__main__":
    tyro.cli(main)
