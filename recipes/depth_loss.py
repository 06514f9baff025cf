"""The loss of the depth network: range of depth, shape of disparity, and edges of both.

With e = d - median(d) - log z, where d is the network's output and z true depth in units of its
own median, the first part is the mean of |e| and of the relative error |exp(e) - 1| (what is near
matters most for parallax): it knows no scale, as the median is what depth is used with. With

    s(x) = (x - median(x)) / mean |x - median(x)|

the second part is the mean |s(exp(-d)) - s(1 / z)|: it knows neither scale nor shift of
disparity, so the shape counts where the range is unknown. To both comes the mean of their
differences between neighbours 1, 2 and 4 pixels apart (flat walls, sharp edges).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

# Depths are clipped to this range.
NEAREST = 0.05
FARTHEST = 10.0
# Weight of the second part.
SHAPE = 0.4
# Added to the deviation of disparity, whose median is 1: a wall has no shape.
FLATTEST = 0.05


def loss(predicted: Float[Array, "b h w"], depth: Float[Array, "b h w"]) -> Float[Array, ""]:
    """Return the module's loss of log depths, given true depths."""
    logs = predicted - sparse_median(predicted)
    truth = jnp.clip(depth, NEAREST, FARTHEST)
    error = logs - jnp.log(truth)
    # Linear beyond a factor e.
    relative = jnp.abs(jnp.expm1(jnp.minimum(error, 1.0)))
    scaled = 0.5 * (jnp.abs(error) + relative).mean() + depth_roughness(error)
    disparity = jnp.exp(-jnp.clip(logs, jnp.log(NEAREST), jnp.log(FARTHEST)))
    shape = standardised(disparity) - standardised(1 / truth)
    return scaled + SHAPE * (jnp.abs(shape).mean() + depth_roughness(shape))


def sparse_median(x: Float[Array, "b h w"]) -> Float[Array, "b 1 1"]:
    """Return the median of a sixteenth of the pixels, which is nearly that of all."""
    return jnp.median(x[:, ::4, ::4], (1, 2), keepdims=True)


def standardised(disparity: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
    """Subtract the median and divide by the mean absolute deviation from it."""
    centred = disparity - sparse_median(disparity)
    return centred / (jnp.abs(centred).mean((1, 2), keepdims=True) + FLATTEST)


def depth_roughness(
    error: Float[Array, "b h w"], distances: tuple[int, ...] = (1, 2, 4)
) -> Float[Array, ""]:
    """Return the mean absolute difference of neighbours at these distances, in pixels."""
    total = jnp.zeros(())
    for k in distances:
        down = error[:, k:] - error[:, :-k]
        right = error[:, :, k:] - error[:, :, :-k]
        total += (jnp.abs(down).mean() + jnp.abs(right).mean()) / (2 * len(distances))
    return total
