"""What is refused before anything long is read: told from the config and the options alone."""

from full4d_jax.config import Config, check_config
from full4d_jax.generation.complete import upsampler_for
from full4d_jax.scene.fit_settings import FitKind
from full4d_jax.session.errors import InputError
from full4d_jax.session.fields import check_fields
from full4d_jax.source import options
from full4d_jax.source.size import is_beyond, size_of_result


def check_source(config: Config, source: options.SampleOptions) -> None:
    """Refuse an unsound config, numbers out of bounds, and a source that the model cannot use.

    Raises:
      InputError: The message names the field or option.
    """
    check_config(config)
    check_fields(source, what="option")
    projection = config.model.projection
    if source.posed != (projection != "none"):
        do = "give another config, or another source"
        raise InputError("source", type(source).__name__, "one", f"none, with {projection}", do)


def expected_kind(config: Config, source: options.SampleOptions) -> FitKind:
    """Return what the grid of a source will be to a fit; `kind_of` tells it of the grid itself.

    Raises:
      InputError: The video or the upsampler is unusable.
    """
    if config.model.projection == "none":
        return FitKind.CAPTURED
    if upsampler_for(config, options.upsampler_of(source)) is None:
        return FitKind.AROUND_SOURCE
    size = size_of_result(config, source, enlarged=True)
    return FitKind.ENLARGED if is_beyond(size) else FitKind.AROUND_SOURCE
