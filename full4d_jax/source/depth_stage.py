"""The stage that measures the depth of a grid's real rows: from a file, known, or by a network.

Estimates smear edges, which count as unknown: the prior was trained so. And they are made to agree
with constraints, one after the other (`hold_constraints`):

    planes are planes, lines straight and upright ones upright (`planes`) -> what stands is upright
    (`upright`) -> what moves lies before what it hides (`set_before`)

What the camera does not see is found between the last two (`clean_plate`).
Silhouettes of people, animals, vehicles and whatever moves come first (`source.subjects`): they are
no part of a plane, and the other two constraints are about them. Then an edge of depth runs where a
silhouette does, so that nothing lies between a person and the wall.

Of a camera that moves, what stands still is seen from several places: optical flow measures its
depth (`geometry.flow_depth`), and then the instants are fused. What passes is found before, and has
no part in either. Depth and the camera's path have one unit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from full4d_jax.config import Size
from full4d_jax.geometry.arrays import Map, Maps, Masks, Picture
from full4d_jax.geometry.depth_maps import drop_depth_edges, fuse_depth, nearest
from full4d_jax.geometry.flow_depth import flow_depth
from full4d_jax.grid import (
    CleanPlate,
    Grid,
    alone,
    depth_in,
    part_arrays,
    plate_in,
    points_in,
)
from full4d_jax.media.pictures import to_model
from full4d_jax.session.errors import input_errors
from full4d_jax.session.fields import refuse
from full4d_jax.session.files import Arrays
from full4d_jax.session.stages import Stages
from full4d_jax.source import options
from full4d_jax.source.depth import any_network, lines, planes, resting_scene
from full4d_jax.source.depth.file_network import FileNetwork
from full4d_jax.source.depth.our_network import align_median
from full4d_jax.source.depth.upright import forget_rim, stand_upright
from full4d_jax.source.handheld import path_scale
from full4d_jax.source.subjects import Subjects, find_subjects
from input_pipeline.plain_files import check_field, load_array, load_arrays


@dataclass(frozen=True)
class DepthInputs:
    """Network, file and options of the stage, read before an earlier run's arrays are replaced.

    Attributes:
      chosen: the options.
      network: the depth network.
      depth: that of the file in the options; None without one.
    """

    chosen: options.NetworkOptions
    network: any_network.AnyNetwork
    depth: Maps | None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that depth depends on beside the grid, for `stages.fingerprint`."""
        return {
            "file": self.chosen.depth,
            "net": any_network.network_file(self.chosen.depth_network),
            "kind": self.chosen.depth_kind,
            "keep_estimate": self.chosen.keep_estimate,
        }


def read_depth_inputs(source: options.SampleOptions, size: Size) -> DepthInputs:
    """Read the depth network, and the file of depth where the options name one.

    Args:
      source: the options of the source.
      size: of the result, which the file has too.

    Raises:
      InputError: One of them is unusable, or both are given.
    """
    chosen = source.measured or options.NetworkOptions()
    depth = None
    if chosen.depth is not None:
        refuse({"depth_network": chosen.depth_network}, "none beside --depth")
        depth = depth_from_file(chosen.depth, size.frames, size.height, size.width)
    network = any_network.open_network(chosen.depth_network, chosen.depth_kind)
    return DepthInputs(chosen, network, depth)


def depth_from_file(path: Path, t: int, h: int, w: int) -> Float[np.ndarray, "t h w"]:
    """Read a video's depth from a `.npy` file or the first array of an `.npz`, in world units.

    The array is (t, h, w), or (h, w) where scene and camera stand still; larger and smaller
    pictures of the same shape are resampled to the nearest pixel. Its unit is free.

    Raises:
      InputError: there is no such file, it holds no array, the array has other times or another
        shape, or its values are no depth.
    """
    # Least depth of a file, in its unit; the largest is one over it.
    least_depth = 1e-18
    # Pixels by which sides of a result may be off the shape of its source.
    rounded_pixels = 4
    do = "give one depth map per frame of the clip, cropped like the video, by numpy.save"
    with input_errors("depth file", do, path):
        packed = path.suffix == ".npz"
        arrays = (
            [*load_arrays(path).values()] if packed else [load_array(path, "depth")]
        )
        # Infinite numbers are refused below.
        with np.errstate(over="ignore"):
            depth = np.asarray(arrays[0], np.float32)
        depth = np.broadcast_to(depth, (t, *depth.shape)) if depth.ndim == 2 else depth
        expected = f"({t}, {h}, {w}) or ({h}, {w}) or another size of that shape"
        check_field(path, depth.ndim == 3 and len(depth) == t, depth.shape, expected)
        # The sides of a result are rounded to multiples, see `cameras.sides`.
        off = abs(depth.shape[1] * w - depth.shape[2] * h) / max(*depth.shape[1:], h, w)
        check_field(path, off <= rounded_pixels, depth.shape, expected)
        is_depth = (depth == 0) | ((depth >= least_depth) & (depth <= 1 / least_depth))
        found = "NaN, infinite or negative values, or beyond single precision"
        bounds = f"0 where unknown, or z from {least_depth:g} to {1 / least_depth:g}"
        check_field(path, is_depth.all(), found, bounds)
        found = "no known depth at t = 0"
        check_field(path, depth[0].any(), found, "z > 0 in some pixels")
    return np.asarray(align_median(jnp.asarray(nearest(depth, h, w))))


def run_depth(stages: Stages, grid: Grid, inputs: DepthInputs) -> Grid:
    """Run the stage depth: measure the real rows of a grid, and bring its cameras to that unit.

    Raises:
      InputError: The depth of the file does not follow a camera that moves, or has no depth where
        the unit of the path could be found.
    """
    if inputs.depth is not None:
        path_scale.check_moves(grid, inputs.depth, str(inputs.chosen.depth))
    arrays = stages.run(
        "depth", inputs.settings, lambda: measure(grid, inputs, stages.say)
    )
    placed = path_scale.in_unit(grid, float(arrays["path_unit"]))
    placed = replace(placed, around=None, estimate=None, plate=plate_in(arrays))
    return replace(placed, depth=arrays["depth"], masks=arrays.get("masks"))


def measure(grid: Grid, inputs: DepthInputs, say: Callable[[str], None]) -> Arrays:
    """Return the depth of all real rows, in the world's unit, as the stage `depth` saves it.

    Args:
      grid: real rows with cameras.
      inputs: what depth is measured by.
      say: prints a line for people.

    Raises:
      InputError: see `run_depth`.
    """
    constrained = not inputs.chosen.keep_estimate
    estimate = partial(measure_depth, network=inputs.network, constrained=constrained)
    plate = passing = None
    if inputs.depth is not None:
        depth, unit = path_scale.settle_scale(grid, inputs.depth, estimated=False)
        if constrained:
            passing = _passing(path_scale.in_unit(grid, unit), depth)
    else:
        if grid.depth is None and isinstance(inputs.network, FileNetwork):
            say(inputs.network.description)
        measured = estimate(grid)
        depth, unit, _, _, plate, passing = measured
        if measured.measured_share:
            say(describe_measured(measured.measured_share))
        size = grid.frames.shape[2:4]
        if plate and (hidden := resting_scene.depth_within(plate, *size) > 0).any():
            found = f"in {hidden.mean():.1%} of the picture somebody always hides it"
            taken = "taken from before and after, or filled in by a network"
            say(f"depth: background {taken}: {found}")
    rows = [np.asarray(depth)]
    for view in range(1, grid.real_rows):
        assert grid.about.distances is not None, "a rig knows how far the scene is"
        other = estimate(alone(grid, view))
        scale = other.unit * float(grid.about.distances[view]) / unit
        rows.append((other.depth * scale).astype(np.float32))
    arrays = {"depth": np.stack(rows), "path_unit": np.asarray(unit)}
    if passing is not None:
        arrays["masks"] = passing[None]
    return arrays if plate is None else arrays | part_arrays("plate", plate)


class Measured(NamedTuple):
    """Depth of a source.

    Attributes:
      depth: z, world units, 0 where unknown.
      unit: a world unit in units of the source's path (`in_unit`).
      metres: the same in metres; None where the network gives none.
      measured_share: share of the pixels whose depth flow measures.
      plate: what is behind the source's subjects; None where it is unknown.
      passing: what a camera that moves sees for a while; None where that is not sought.
    """

    depth: Maps
    unit: float
    metres: float | None = None
    measured_share: float = 0.0
    plate: CleanPlate | None = None
    passing: Masks | None = None


def measure_depth(
    source: Grid, network: any_network.AnyNetwork, *, constrained: bool = False
) -> Measured:
    """Return the depth that is known with a source, or else what a network estimates.

    Of a camera that moves, its path was found with an estimate.

    Args:
      source: of one camera.
      network: estimates depth that is not known.
      constrained: whether estimates are made to agree with constraints on what stands and moves.
    """
    pictures = source.frames[0]
    metres = plate = None
    by_flow = np.zeros(pictures.shape[:3], bool)
    # To the network, such as the sky.
    unknown = np.zeros(pictures.shape[:3], bool)
    frames = to_model(pictures)
    still = not path_scale.source_moves(source)
    # Depth of the first look: recorded, found with the camera's path, or of the network.
    known = depth_in(source)
    estimated = known is None
    if known is None and source.estimate is not None:
        unknown = source.estimate == 0
        known = any_network.as_far(source.estimate)
        if isinstance(network, FileNetwork) and network.kind == "metric":
            first = any_network.file_network_depth(network, frames[:1], still=still)
            metres = path_scale.first_median(first)
    elif known is None and isinstance(network, FileNetwork):
        own = any_network.file_network_depth(network, frames, still=still)
        unknown = own == 0
        middle = path_scale.first_median(own)
        known = any_network.as_far(own) / middle
        metres = middle if network.kind == "metric" else None
    elif known is None:
        own = np.asarray(any_network.source_depth(network, frames, still=still))
        unknown = own == 0
        known = any_network.as_far(own)
    settled, unit = path_scale.settle_scale(source, known, estimated=estimated)
    placed = path_scale.in_unit(source, unit)

    def estimate(picture: Picture) -> Map:
        """Return the depth of a picture, of any scale; what is unknown is far away."""
        seen = any_network.source_depth(network, to_model(picture[None]))
        return any_network.as_far(np.asarray(seen))[0]

    subjects = None
    passing = np.zeros(known.shape, bool)
    if estimated and constrained:
        subjects = find_subjects(replace(placed, depth=np.asarray(settled)[None]))
        passing = passing if subjects.passing is None else subjects.passing
    # Of a camera that moves, flow corrects an estimate, where points tell a common unit.
    # What passes has its own depth.
    fused = estimated and not still
    if fused and points_in(source) is not None:
        lens, poses = (x.astype(np.float64) for x in placed.source_camera)
        settled, by_flow = flow_depth(pictures, settled, lens, poses, passing)
        # The world's unit is the first median.
        again = path_scale.first_median(settled)
        settled = settled / again
        unit = unit * again
        placed = path_scale.in_unit(placed, again)
        metres = None if metres is None else metres * again
    if fused:
        camera = map(jnp.asarray, placed.source_camera)
        shown = _without_edges(settled)
        still_points = jnp.asarray(np.where(passing, 0, shown))
        together = np.asarray(fuse_depth(frames, still_points, *camera))
        settled = np.where(passing, shown, together)
    if subjects is not None:
        placed = replace(placed, depth=np.asarray(settled)[None])
        settled, plate = hold_constraints(placed, subjects, estimate, by_flow)
    if constrained or not fused:
        settled = _without_edges(settled)
    settled = np.where(unknown, 0, settled)
    masks = None
    if subjects is not None:
        masks = subjects.passing
    elif constrained:
        masks = _passing(placed, settled)
    share = float((by_flow & (settled > 0)).mean())
    return Measured(settled, unit, metres, share, plate, masks)


def _passing(source: Grid, depth: Maps) -> Masks | None:
    """Return what a camera that moves sees for a while, given its depth; None of one at rest."""
    if not path_scale.source_moves(source):
        return None
    return find_subjects(replace(source, depth=np.asarray(depth)[None])).passing


def describe_measured(share: float) -> str:
    """Return a line for the user about the share of the pixels whose depth is measured."""
    return f"depth: {share:.0%} of the pixels measured by optical flow, others by the network"


def _without_edges(depth: Maps) -> Maps:
    return np.asarray(drop_depth_edges(jnp.asarray(depth)))


def hold_constraints(
    source: Grid,
    subjects: Subjects,
    estimate: resting_scene.Estimate,
    measured: Masks,
) -> tuple[Maps, CleanPlate]:
    """Return depth that meets the constraints, and the plate of what the camera does not see.

    Args:
      source: of one camera, with estimated depth in world units, 0 where unknown.
      subjects: what stands in it.
      estimate: returns the depth of a picture, for the clean plate.
      measured: pixels whose depth is no estimate, so that nothing flattens it.
    """
    still = not path_scale.source_moves(source)
    labels = subjects.labels
    # A camera that moves may change its pitch.
    lens, _ = source.source_camera
    up = lines.camera_up(source.frames[0], lens) if still else None
    upright = None if up is None else lines.UprightLines(lens, up)
    flat = planes.flatten_planes(source, upright, still=still, keep=labels > 0)
    flat = np.where(measured, source.known_depth[0], flat)
    flat_grid = replace(source, depth=flat[None])
    standing = stand_upright(flat_grid, subjects, up=up or lines.UP)
    if still:
        standing = forget_rim(standing, labels)
    source = replace(source, depth=standing[None])
    plate = resting_scene.clean_plate(source, subjects, estimate)
    behind = resting_scene.depth_within(plate, *labels.shape[1:]) if still else None
    return resting_scene.set_before(source, labels, behind), plate
