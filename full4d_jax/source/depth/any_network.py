"""Networks that estimate depth: ours, or a file whose ending tells what it is.

    ours            our network, in this package
    X.safetensors   weights that `recipes/train_depth.py` wrote, Tiefenrausch's, or Depth
                    Anything V2's as transformers writes them
    X.onnx          networks by others (`file_network`, `onnx_signatures`); onnxruntime runs them

A video takes depth (`source_depth`). A capture takes values that are affine in 1 / z, with
any scale, shift, sign and size (`load_estimator`), which `input_pipeline.depth_alignment` brings
into the units of the cameras.

A network of a file gives disparity D = a / z + b, or depth up to a scale, or metres, of one picture
at a time. The frames are made consistent:

    disparity   D_t <- s D_t + c, the line that takes most of frame t to the first frame, where the
                colours stand still; to the frame before where little of the first is left
    others      and then all: one scale, and the mean over what stands still (`our_network`)

One camera's pictures do not determine the shift b. We keep the network's own zero of disparity, as
infinitely far, while it puts the farthest `FARTHEST_SHARE` of the clip between `MIN_FARTHEST` and
`MAX_FARTHEST` times the median depth; else they are put at the nearer of these limits. No depth is
beyond twice `MAX_FARTHEST` medians, or nearer than `NEAREST_DEPTH`. Neither floor nor horizon
count: a plane is one at any shift.

With perfect disparity of 40 held-out `rich` scenes, known up to these, depth errs by 3 % (AbsRel,
medians aligned) where the zero is right, 12 % where it is half as far away as the farthest point,
20 % where it is there, 64 % where all depth is one.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from full4d_jax.geometry.arrays import Maps, Picture
from full4d_jax.geometry.depth_maps import nearest
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models import sharded_map
from full4d_jax.models.nets import depth_anything
from full4d_jax.models.weights import tensor_shapes
from full4d_jax.session import errors, fields
from full4d_jax.source.depth import enlarge, file_network, our_network
from full4d_jax.source.lens import LensEstimate
from full4d_jax.source.options import DepthKind
from input_pipeline.depth_alignment import Estimate
from input_pipeline.plain_files import file_hash

AnyNetwork = our_network.DepthNetwork | file_network.FileNetwork

OURS = "ours"
# Share of the pixels that are taken as the farthest.
FARTHEST_SHARE = 0.02
# Median depths at which the farthest of a clip lies.
MIN_FARTHEST = 1.5
MAX_FARTHEST = 3.5
NEAREST_DEPTH = 0.05


def network_file(which: str | None) -> Path:
    """Return the file of a network's weights; None is ours."""
    return our_network.WEIGHTS if which in (None, OURS) else Path(which)


def open_network(which: str | None, kind: DepthKind | None = None) -> AnyNetwork:
    """Open a network.

    Args:
      which: ours, which None takes too, or a file.
      kind: what the values of an .onnx file are; None takes the file's, or compares with ours.

    Raises:
      InputError: the file is missing or is not such a network, or a library is missing; or a kind
        of a network whose kind is known.
    """
    path = network_file(which)
    if path.suffix == ".onnx":
        return file_network.open_file_network(path, kind)
    if path.suffix != ".safetensors":
        kinds = "ours, or a .safetensors or .onnx file"
        found = path.suffix or path
        raise errors.InputError(file_network.WHAT, path, found, kinds, "choose one")
    fields.refuse({"depth_kind": kind}, "an .onnx file as --depth_network beside it")
    if depth_anything.is_depth_anything(tensor_shapes(path)):
        return file_network.open_depth_anything(path)
    return our_network.load_depth(path)


def lens_estimate(network: AnyNetwork) -> LensEstimate | None:
    """Return a depth network's estimate of a clip's lens; None where it has none."""
    if isinstance(network, file_network.FileNetwork) and network.signature.focal:
        return network.fov
    return None


def load_estimator(which: str, kind: DepthKind | None = None) -> Estimate:
    """Open a network, ready to be called with a picture; arguments and errors as above.

    Of a file it says what its values are taken as. Several threads may call it; networks in JAX are
    then on all devices of this host.
    """
    network = open_network(which, kind)
    if isinstance(network, file_network.FileNetwork):
        errors.log(network.description)
        return lambda frame: _affine(network, network.values(frame)[None])[0]
    predict = sharded_map.OnLocalDevices(
        lambda here, x: our_network.predict_depth(here, jnp.asarray(x)), network
    )

    def estimate(frame: Picture) -> file_network.Answer:
        small = file_network.resize_colors(frame, *network.sides(*frame.shape[:2]))
        return 1 / predict((small * 2 - 1)[None])[0]

    return estimate


def estimator_mark(which: str) -> str:
    """Return the name of an estimator and a hash of its weights."""
    return f"{which} {file_hash(network_file(which))[:16]}"


def source_depth(
    network: AnyNetwork, frames: enlarge.Film, *, still: bool = True
) -> Float[Array, "t h w"]:
    """Return depth of a video of any size in [-1, 1], with median 1 at t = 0; 0 where unknown.

    Unless the camera stands `still`, pixels of different frames are not averaged.
    """
    if isinstance(network, file_network.FileNetwork):
        raw = jnp.asarray(file_network_depth(network, frames, still=still))
        return our_network.align_median(raw)
    return our_network.estimate_depth(network, frames, still=still)


def file_network_depth(
    network: file_network.FileNetwork, frames: enlarge.Film, *, still: bool = True
) -> Maps:
    """Return depth of a video: metres of a metric network, else of any scale; 0 where unknown.

    Args:
      network: the network of a file.
      frames: the video in [-1, 1].
      still: whether the camera stands still.

    Raises:
      InputError: the network returns something else than maps.
    """
    t, height, width = frames.shape[:3]
    values = np.stack([network.values(frame) for frame in to_uint8(to_unit(frames))])
    if values[0].size > height * width:
        values = nearest(values, height, width)
    known = (values != 0) | (network.kind == "disparity")
    size = values.shape[1:]
    is_small = size != (height, width)
    small = jax.image.resize(frames, (t, *size, 3), "linear") if is_small else frames
    disparity = _affine(network, values)
    if network.kind == "disparity":
        disparity = settle_shift(one_line(disparity, small))
    if still:
        logs = our_network.stabilise(small, -np.log(disparity))
        disparity = 1 / np.exp(np.asarray(logs))
    if is_small:
        enlarged = enlarge.enlarge_disparity(jnp.asarray(disparity), small, frames)
        disparity = np.asarray(enlarged)
        known = nearest(known, height, width)
    return np.where(known, 1 / disparity, 0).astype(np.float32)


def _affine(network: file_network.FileNetwork, values: Maps) -> Maps:
    """Return values of a network that are affine in 1 / z; unknown ones are far away."""
    if network.kind == "disparity":
        return values
    depth = as_far(values)
    return 1 / np.maximum(depth, 1e-3 * np.median(depth))


def as_far(depth: Maps) -> Maps:
    """Put what is unknown, 0, as far away as the farthest of its frame, or of the clip."""
    farthest = depth.max((1, 2), keepdims=True)
    return np.where(depth == 0, np.where(farthest > 0, farthest, depth.max()), depth)


def one_line(values: Maps, frames: enlarge.Film) -> Maps:
    """Bring the disparity of separate frames to the scale and shift of the first."""
    # Share of a frame that must look as in the first, or the one before is taken.
    still_share = 0.1
    as_first = np.asarray(our_network.similarity(frames, frames[0]))
    aligned = [values[0]]
    for t in range(1, len(values)):
        weights = as_first[t]
        target = aligned[0]
        if weights.mean() < still_share:
            similar = our_network.similarity(frames[t - 1 : t], frames[t])
            weights = np.asarray(similar)[0]
            target = aligned[-1]
        scale, shift = fit_scale_and_shift(values[t], target, weights)
        aligned.append((scale * values[t] + shift).astype(np.float32))
    return np.stack(aligned)


def fit_scale_and_shift(
    values: Float[ndarray, "*n"],
    target: Float[ndarray, "*n"],
    weights: Float[ndarray, "*n"],
) -> tuple[float, float]:
    """Return scale > 0 and shift that take most of the values near the target.

    The sum of weighted absolute differences is least, by weighted squares again and again. Where
    the weights are few or the scale would not be positive, medians and ranges are made equal.
    """
    fit_rounds = 12
    fitted_points = 20_000
    # Share that any line needs; below it medians and ranges are made equal.
    least_weight = 0.01
    step = max(1, values.size // fitted_points)
    arrays = values, target, weights
    x, y, own_weights = (np.ravel(a)[::step].astype(np.float64) for a in arrays)
    weights = own_weights
    least = 1e-3 * max(float(np.ptp(y)), 1e-12)
    scale = 0.0
    shift = 0.0
    for _ in range(fit_rounds):
        root = np.sqrt(weights)
        system = np.stack([x * root, root], 1)
        scale, shift = np.linalg.lstsq(system, y * root, rcond=None)[0]
        weights = own_weights / np.maximum(np.abs(scale * x + shift - y), least)
    if own_weights.mean() >= least_weight and scale > 0:
        return float(scale), float(shift)
    low, middle, high = np.quantile(x, (0.1, 0.5, 0.9))
    bottom, center, top = np.quantile(y, (0.1, 0.5, 0.9))
    scale = (top - bottom) / (high - low) if high > low and top > bottom else 1.0
    return float(scale), float(center - scale * middle)


def settle_shift(values: Maps) -> Maps:
    """Return positive disparity of median about 1 at t = 0, by the limits in the module's text."""
    far, near = np.quantile(values, (FARTHEST_SHARE, 1 - FARTHEST_SHARE))
    if near - far <= 1e-6 * max(abs(far), abs(near), 1e-12):
        # A wall, or a network that sees nothing.
        return np.ones_like(values)
    # Where most of the picture is as far as can be, such as sky, the rest must keep its relief.
    middle = max(float(np.median(values[0])), far + 0.05 * (near - far))
    own = middle / far if far > 0 else np.inf
    ratio = min(max(own, MIN_FARTHEST), MAX_FARTHEST)
    shift = (middle - ratio * far) / (ratio - 1)
    disparity = (values + shift) / (middle + shift)
    clipped = np.clip(disparity, 1 / (2 * MAX_FARTHEST), 1 / NEAREST_DEPTH)
    return clipped.astype(np.float32)
