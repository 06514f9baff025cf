"""Videos from words and a first picture: Wan's own sampler, against diffusers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import ProjectionAsFrames, SamplerConfig, Size
from full4d_jax.config.wan import WAN
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.wan_video import (
    make_video,
    sample_unipc,
    video_guides,
    wan_times,
)
from full4d_jax.models.dit.dit import init_params
from full4d_jax.session.errors import InputError

SIZES = {
    "codec_stride": 2,
    "width": 24,
    "layers": 2,
    "heads": 2,
    "ffn": 32,
    "text_width": 10,
}
MODEL = replace(
    WAN.model, **SIZES, remat="none", guide=ProjectionAsFrames(first_frame=True)
)
SAMPLER = SamplerConfig(steps=3, noise=1.0, shift=5.0, text_guidance=4.0)
SIZE = Size(1, 3, 12, 16)


@pytest.fixture(scope="module")
def prior() -> Prior:
    text = np.random.default_rng(0).normal(size=(5, 10)).astype(np.float32)
    return Prior(MODEL, SAMPLER, random_params(MODEL, 0.2), text=text)


@pytest.fixture(scope="module")
def spoken(prior):
    return make_video(prior, SIZE, jax.random.key(0))


def test_the_first_frame_is_the_picture(prior, spoken):
    first = np.random.default_rng(1).integers(0, 256, (*SIZE[2:], 3)).astype(np.uint8)
    video = make_video(prior, SIZE, jax.random.key(0), first)
    np.testing.assert_allclose(video[0], first, atol=1)
    assert np.abs(video[1:].astype(int) - spoken[1:]).max() > 3


def test_models_that_make_no_such_video_are_refused(prior):
    model = replace(MODEL, guide=ProjectionAsFrames())
    first = np.zeros((*SIZE[2:], 3), np.uint8)
    with pytest.raises(InputError, match=r"model\.guide: found .*first_frame=False"):
        make_video(replace(prior, model=model), SIZE, jax.random.key(0), first)


def curved(x, tau):
    """A velocity that bends: towards clean states that depend on where one is."""
    return x - jnp.tanh(x * (1 + tau[:, None]))


@pytest.mark.extra("diffusers", "torch")
@pytest.mark.parametrize(("steps", "shift"), [(1, 1.0), (2, 5.0), (8, 5.0)])
def test_unipc_equals_diffusers(steps, shift):
    import torch
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    scheduler.set_timesteps(steps)
    noise = np.random.default_rng(0).normal(size=(2, 40)).astype(np.float32)
    x = torch.from_numpy(noise)
    for time in scheduler.timesteps:
        tau = np.full(2, float(time) / 1000, np.float32)
        velocity = np.array(curved(jnp.asarray(x.numpy()), jnp.asarray(tau)))
        x = scheduler.step(torch.from_numpy(velocity), time, x).prev_sample
    found = sample_unipc(curved, jnp.asarray(noise), wan_times(steps, shift))
    np.testing.assert_allclose(found, x.numpy(), atol=2e-5)


@pytest.mark.extra("diffusers", "torch")
@pytest.mark.parametrize("begins_with_a_picture", [False, True])
def test_latents_equal_those_of_diffusers_pipeline(begins_with_a_picture, tmp_path):
    """The whole loop over small random weights: time of each token, texts, guidance, solver."""
    import torch
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanImageToVideoPipeline,
        WanPipeline,
        WanTransformer3DModel,
    )
    from PIL import Image

    from full4d_jax.generation.generate import bind_guided
    from full4d_jax.models.wan.conversion import import_wan
    from full4d_jax.models.weights import load_params

    torch.manual_seed(0)
    sizes = {
        "num_attention_heads": 2,
        "attention_head_dim": 24,
        "ffn_dim": 72,
        "num_layers": 2,
    }
    channels = {"in_channels": 12, "out_channels": 12, "text_dim": 14}
    transformer = (
        WanTransformer3DModel(**sizes, **channels).eval().requires_grad_(False)
    )
    for name, x in transformer.named_parameters():  # nothing stays at an initial 0 or 1
        scale = 0.3 if x.ndim < 2 or "table" in name else (1 / x[0].numel()) ** 0.5
        x.copy_(torch.randn(x.shape) * scale + ("norm" in name and "weight" in name))
    transformer.save_pretrained(tmp_path)
    numbers = {"latents_mean": [0.1] * 12, "latents_std": [0.7] * 12}
    vae = AutoencoderKLWan(base_dim=4, z_dim=12, num_res_blocks=1, **numbers).eval()
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=SAMPLER.shift,
    )
    kind = WanImageToVideoPipeline if begins_with_a_picture else WanPipeline
    encoders = (
        {"image_encoder": None, "image_processor": None}
        if begins_with_a_picture
        else {}
    )
    pipeline = kind(
        tokenizer=None,
        text_encoder=None,
        transformer=transformer,
        vae=vae,
        scheduler=scheduler,
        expand_timesteps=True,
        **encoders,
    )
    pipeline.set_progress_bar_config(disable=True)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1, 12, 3, 4, 6)).astype(np.float32)
    texts = rng.normal(size=(2, 1, 16, 14)).astype(np.float32)
    picture = Image.fromarray(rng.integers(0, 256, (32, 48, 3)).astype(np.uint8))
    arguments = {"image": picture} if begins_with_a_picture else {}
    result = pipeline(
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=SAMPLER.steps,
        guidance_scale=SAMPLER.text_guidance,
        prompt_embeds=torch.from_numpy(texts[0]),
        negative_prompt_embeds=torch.from_numpy(texts[1]),
        latents=torch.from_numpy(noise),
        output_type="latent",
        **arguments,
    ).frames
    expected = np.moveaxis(result.numpy(), 1, -1)[:, None]

    model = replace(
        MODEL,
        width=48,
        ffn=72,
        text_width=14,
        cameras=(),
        camera_projector=False,
        precision="float32",
    )
    import_wan(model, tmp_path, tmp_path / "ours")
    like = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    params = load_params(tmp_path / "ours", like)
    prior = Prior(model, SAMPLER, params, text=texts[0, 0], negative_text=texts[1, 0])
    z = jnp.moveaxis(jnp.asarray(noise), 1, -1)[:, None]
    start = None
    if begins_with_a_picture:  # what diffusers' codec makes of it
        start = jnp.asarray(expected[:, :, :1])
        z = z.at[:, :, :1].set(start)
    flow = bind_guided(prior, video_guides(prior, z, start))
    found = jax.jit(
        lambda z: sample_unipc(flow, z, wan_times(SAMPLER.steps, SAMPLER.shift))
    )(z)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=2e-4)
