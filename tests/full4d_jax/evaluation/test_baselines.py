import numpy as np

from full4d_jax.evaluation.baselines import inpaint_by_marching

rng = np.random.default_rng(0)


def test_inpainting_continues_a_plane_of_colour():
    color = np.array([-0.6, 0.0, 0.8], np.float32)
    truth = np.broadcast_to(color, (1, 2, 24, 24, 3))
    mask = np.ones((1, 2, 24, 24), np.float32)
    mask[:, :, 6:16, 6:16] = 0
    filled = inpaint_by_marching(np.where(mask[..., None] > 0, truth, 1.0), mask)
    np.testing.assert_allclose(filled, truth, atol=3 / 127.5)


def test_seen_pixels_survive_and_empty_frames_are_grey():
    frames = rng.uniform(-1, 1, (2, 1, 8, 8, 3)).astype(np.float32)
    mask = np.zeros((2, 1, 8, 8), np.float32)
    mask[0, 0, 2:7, 2:7] = 1
    filled = inpaint_by_marching(frames, mask)
    np.testing.assert_allclose(filled[0, 0, 2:7, 2:7], frames[0, 0, 2:7, 2:7], atol=1 / 254)
    np.testing.assert_allclose(filled[1], 0, atol=1e-6)
