"""Augmentation of the depth network's frames: pictures change, depth is at most mirrored."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.training.depth_augmentation import augment, blur, compress, cosines

FRAME = jax.random.uniform(jax.random.key(0), (16, 24, 3))
DEPTH = 1 + jax.random.uniform(jax.random.key(1), (16, 24))
augment_each = jax.jit(jax.vmap(augment, (0, None, None)))
compress_each = jax.jit(jax.vmap(compress, (0, None)))


def test_depth_is_mirrored_with_its_picture():
    keys = jax.random.split(jax.random.key(2), 20)
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 24)[None, :, None], (16, 24, 3))
    frames, depths = augment_each(keys, ramp, ramp[..., 0])
    frames, depths = np.asarray(frames), np.asarray(depths)
    rises = (frames[:, :, -8:].mean((1, 2, 3)) - frames[:, :, :8].mean((1, 2, 3))) > 0
    np.testing.assert_array_equal(rises, depths[:, 0, -1] > depths[:, 0, 0])
    assert 0 < rises.sum() < 20
    assert frames.min() >= -1
    assert frames.max() <= 1


def test_another_key_gives_another_picture_and_the_same_depth_or_its_mirror():
    keys = jax.random.split(jax.random.key(3), 20)
    frames, depths = augment_each(keys, FRAME, DEPTH)
    assert len(np.unique(np.asarray(frames).reshape(20, -1).round(3), axis=0)) == 20
    for depth in np.asarray(depths):
        assert np.array_equal(depth, DEPTH) or np.array_equal(depth, DEPTH[:, ::-1])


def test_the_transform_is_opencvs():
    block = np.asarray(FRAME[:8, :8, 0])
    np.testing.assert_allclose(cosines() @ block @ cosines().T, cv2.dct(block), atol=1e-5)


def test_compression_keeps_flat_areas_and_rounds_fine_ones():
    keys = jax.random.split(jax.random.key(4), 30)
    many = np.asarray(compress_each(keys, FRAME))
    change = np.abs(many - np.asarray(FRAME)).max((1, 2, 3))
    assert 5 < np.count_nonzero(change > 1e-3) < 20
    flat = np.asarray(compress_each(keys, jnp.full((16, 24, 3), 0.5)))
    assert np.abs(flat - 0.5).max() < 0.01


def test_blur_is_opencvs():
    kernel = np.array([0.25, 0.5, 0.25])
    frame = np.asarray(FRAME)
    expected = cv2.sepFilter2D(frame, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(jax.jit(blur)(FRAME), expected, atol=1e-5)
