"""gsplat 1.5.3's PyTorch reference on a CPU: the independent renderer of parity tests and timings.

Needs the `parity` extra. Projection, harmonics and compositing are gsplat's own code, gradients are
autograd's. Three of its helpers exist as CUDA kernels only, or as a Python loop over Gaussians, and
are written here in plain PyTorch: tile lists, the (Gaussian, pixel) pairs of the picture, and
nerfacc's product of transmittances along a ray.
"""

import itertools
from typing import NamedTuple

import nerfacc
import torch
from gsplat.cuda import _torch_impl as reference
from gsplat.cuda import _wrapper
from torch import Tensor

SIDE = 16  # tile side, pixels


class Picture(NamedTuple):
    """One picture.

    rgb: (h w 3).
    depth: (h w), summed with the weights of the colours and not divided by alpha.
    alpha: (h w).
    """

    rgb: Tensor
    depth: Tensor
    alpha: Tensor


def render(
    means: Tensor,
    quaternions: Tensor,
    log_scales: Tensor,
    logit_opacities: Tensor,
    harmonics: Tensor,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    background: Tensor,
    *,
    width: int,
    height: int,
    sh_degree: int,
    antialiased: bool,
) -> Picture:
    """One picture from the raw parameters that `gaussians.Gaussians` holds, in their precision."""
    covariances, _ = reference._quat_scale_to_covar_preci(
        quaternions, log_scales.exp(), True, False, False
    )
    radii, centers, depths, conics, compensation = reference._fully_fused_projection(
        means,
        covariances,
        world_to_camera[None],
        intrinsics[None],
        width,
        height,
        calc_compensations=antialiased,
    )
    opacities = logit_opacities.sigmoid()[None]
    if compensation is not None:
        opacities = opacities * compensation
    eye = -world_to_camera[:3, :3].T @ world_to_camera[:3, 3]
    rgb = reference._spherical_harmonics(sh_degree, means - eye, harmonics) + 0.5
    payload = torch.cat([rgb.clamp_min(0.0), depths[0, :, None]], -1)
    rows = -(-height // SIDE)
    columns = -(-width // SIDE)
    first, ids = tile_lists(
        centers[0].detach(), radii[0], depths[0].detach(), rows, columns
    )
    painted, alpha = reference._rasterize_to_pixels(
        centers, conics, payload[None], opacities, width, height, SIDE, first, ids
    )
    painted = painted[0]
    alpha = alpha[0, ..., 0]
    return Picture(
        painted[..., :3] + (1 - alpha)[..., None] * background, painted[..., 3], alpha
    )


def tile_lists(
    centers: Tensor, radii: Tensor, depths: Tensor, rows: int, columns: int
) -> tuple[Tensor, Tensor]:
    """Start of each tile's list (1 rows columns) and the listed Gaussians, nearest first.

    What `_isect_tiles` and `_isect_offset_encode` return, without their loop over Gaussians.
    """
    limit = torch.tensor([columns, rows])
    low = torch.minimum(((centers - radii) / SIDE).floor().int().clamp_min(0), limit)
    high = torch.minimum(((centers + radii) / SIDE).ceil().int().clamp_min(0), limit)
    extent = (high - low) * (radii > 0).all(-1, keepdim=True)
    count = extent.prod(-1)
    ids = torch.repeat_interleave(torch.arange(len(count)), count)
    nth = torch.arange(len(ids)) - (count.cumsum(0) - count)[ids]
    width = extent[ids, 0]
    tile = (low[ids, 1] + nth // width) * columns + low[ids, 0] + nth % width
    depth_bits = depths[ids].float().contiguous().view(torch.int32).long()
    key, order = torch.sort((tile.long() << 32) | depth_bits)
    first = torch.searchsorted(key >> 32, torch.arange(rows * columns))
    return first.reshape(1, rows, columns), ids[order].int()


def pairs_in_range(
    first_batch: int,
    last_batch: int,
    transmittance: Tensor,
    centers: Tensor,
    conics: Tensor,
    opacities: Tensor,
    width: int,
    height: int,
    side: int,
    first: Tensor,
    ids: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """`rasterize_to_indices_in_range`, CUDA only in gsplat: which Gaussian is drawn at which pixel.

    Returns Gaussian, pixel and image (0) of every pair, ordered by pixel, then by depth.
    """
    centers = centers[0]
    conics = conics[0]
    opacities = opacities[0]
    columns = first.shape[-1]
    bounds = torch.cat([first.flatten(), torch.tensor([len(ids)])]).tolist()
    gaussians = []
    pixels = []
    for tile, (start, end) in enumerate(itertools.pairwise(bounds)):
        end = min(end, start + last_batch * side**2)
        start += first_batch * side**2
        if start >= end:
            continue
        near = ids[start:end].long()
        top = tile // columns * side
        left = tile % columns * side
        y, x = torch.meshgrid(
            torch.arange(top, min(top + side, height)),
            torch.arange(left, min(left + side, width)),
            indexing="ij",
        )
        x = x.reshape(-1)
        y = y.reshape(-1)
        dx = x[None] + 0.5 - centers[near, 0, None]
        dy = y[None] + 0.5 - centers[near, 1, None]
        a, b, c = conics[near].T[..., None]
        form = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = torch.clamp_max(opacities[near, None] * torch.exp(-form), 0.999)
        visible = (form >= 0) & (alpha >= 1 / 255)
        after = transmittance[0, y, x] * torch.where(visible, 1 - alpha, 1.0).cumprod(0)
        pixel, nth = torch.nonzero((visible & (after > 1e-4)).T, as_tuple=True)
        gaussians.append(near[nth])
        pixels.append((y * width + x)[pixel])
    if not gaussians:
        nothing = torch.zeros(0, dtype=torch.long)
        return nothing, nothing, nothing
    gaussian = torch.cat(gaussians)
    pixel = torch.cat(pixels)
    return gaussian, pixel, torch.zeros_like(pixel)


def weights_along_rays(
    alphas: Tensor, *, ray_indices: Tensor, n_rays: int
) -> tuple[Tensor, Tensor]:
    """`nerfacc.render_weight_from_alpha`, CUDA only: alpha_k T_k and T_k of rays end to end."""
    del n_rays  # implied by the indices
    logs = torch.log1p(-alphas.double())
    before = logs.cumsum(0) - logs
    begins = torch.ones_like(ray_indices, dtype=torch.bool)
    begins[1:] = ray_indices[1:] != ray_indices[:-1]
    transmittance = torch.exp(before - before[begins][begins.long().cumsum(0) - 1])
    transmittance = transmittance.to(alphas.dtype)
    return alphas * transmittance, transmittance


# The reference looks both names up when it is called.
_wrapper.rasterize_to_indices_in_range = pairs_in_range
nerfacc.render_weight_from_alpha = weights_along_rays
