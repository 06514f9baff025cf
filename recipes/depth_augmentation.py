"""Image augmentation for the depth network: colour, light, blur, noise, JPEG.

Of depth nothing changes but the side: a mirrored picture has mirrored depth.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, reduce
from jaxtyping import Array, Float, PRNGKeyArray

# Share of each channel in brightness.
GREY = (0.299, 0.587, 0.114)
# Pixels per side of what JPEG and video codecs transform at once.
BLOCK = 8
# Share of the frames whose channels are swapped.
SWAPPED = 0.3
# Share of the frames with artefacts of a codec.
COMPRESSED = 0.4
# Share of the frames that had fewer pixels before.
ENLARGED = 0.3
# By which those were enlarged.
FACTORS = (2, 4)


def augment(
    key: PRNGKeyArray, frame: Float[Array, "h w 3"], depth: Float[Array, "h w"]
) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
    """Change colours, light, sharpness, noise and blocks at random, and mirror; return [-1, 1].

    The sides of a frame are multiples of 8.
    """
    colors, light, soft, noise, codec, mirror = jax.random.split(key, 6)
    frame = recolor(colors, frame)
    frame = relight(light, frame)
    frame = soften(soft, frame)
    frame = film_coarsely(jax.random.fold_in(key, 6), frame)
    strength, grain = jax.random.split(noise)
    sigma = 0.06 * jax.random.uniform(strength) ** 2
    frame = frame + sigma * jax.random.normal(grain, frame.shape)
    frame = compress(codec, jnp.clip(frame, 0, 1))
    is_mirrored = jax.random.bernoulli(mirror)
    frame = jnp.where(is_mirrored, frame[:, ::-1], frame)
    depth = jnp.where(is_mirrored, depth[:, ::-1], depth)
    return jnp.clip(frame, 0, 1) * 2 - 1, depth


def recolor(key: PRNGKeyArray, frame: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Swap channels of some frames, and make all paler or more colourful."""
    whether, order, amount = jax.random.split(key, 3)
    swapped = jax.random.permutation(order, frame, axis=-1)
    frame = jnp.where(jax.random.bernoulli(whether, SWAPPED), swapped, frame)
    grey = (frame * jnp.array(GREY)[None, None]).sum(-1, keepdims=True)
    return grey + jax.random.uniform(amount, minval=0.1, maxval=1.2) * (frame - grey)


def relight(key: PRNGKeyArray, frame: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Change exposure, contrast, gamma and white balance."""
    gain, contrast, gamma, *tint = jnp.exp(0.2 * jax.random.normal(key, (6,)))
    frame = (frame - frame.mean()) * contrast + frame.mean() * gain
    frame = frame * (1 + 0.5 * (jnp.stack(tint) - 1))[None, None]
    return jnp.clip(frame, 1e-3, 1) ** gamma


def soften(key: PRNGKeyArray, frame: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Blur half of the frames, some of them twice as wide."""
    a_little, much = jax.random.uniform(key, (2,))
    once = blur(frame)
    frame = frame + jnp.maximum(2 * a_little - 1, 0) * (once - frame)
    wide = blur(blur(once))
    return frame + jnp.maximum(4 * much - 3, 0) * (wide - frame)


def film_coarsely(
    key: PRNGKeyArray, frame: Float[Array, "h w 3"]
) -> Float[Array, "h w 3"]:
    """Show some frames as if fewer pixels had been filmed, and enlarged."""
    whether, which = jax.random.split(key)
    factor = jax.random.choice(which, jnp.array(FACTORS))
    factor = jnp.where(jax.random.bernoulli(whether, ENLARGED), factor, 1)
    for size in FACTORS:
        small = reduce(frame, "(h i) (w j) c -> h w c", "mean", i=size, j=size)
        large = jax.image.resize(small, frame.shape, "linear")
        frame = jnp.where(factor == size, large, frame)
    return frame


def blur(frame: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Blur with a binomial 3x3 kernel and repeated edges."""
    x = jnp.pad(frame, ((1, 1), (1, 1), (0, 0)), "edge")
    x = 0.25 * x[:-2] + 0.5 * x[1:-1] + 0.25 * x[2:]
    return 0.25 * x[:, :-2] + 0.5 * x[:, 1:-1] + 0.25 * x[:, 2:]


def compress(key: PRNGKeyArray, frame: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Round the cosine coefficients of blocks of some frames, the finer ones more coarsely."""
    whether, quality = jax.random.split(key)
    transform = jnp.asarray(cosines())
    frequency = jnp.arange(BLOCK)
    step = 1 + frequency[:, None] + frequency[None, :]
    step = (step * (0.002 + 0.03 * jax.random.uniform(quality) ** 2))[None, None, None]
    blocks = rearrange(frame, "(i h) (j w) c -> i j c h w", h=BLOCK, w=BLOCK)
    rounded = jnp.round(transform @ blocks @ transform.T / step) * step
    decoded = rearrange(transform.T @ rounded @ transform, "i j c h w -> (i h) (j w) c")
    return jnp.where(jax.random.bernoulli(whether, COMPRESSED), decoded, frame)


def cosines() -> Float[np.ndarray, "k k"]:
    """Return the orthonormal discrete cosine transform of a block's side."""
    k = np.arange(BLOCK)[:, None]
    n = np.arange(BLOCK)[None]
    matrix = np.cos(np.pi * k * (2 * n + 1) / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)
