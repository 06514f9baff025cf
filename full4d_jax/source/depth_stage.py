"""The stage that measures the depth of a grid's real rows: from a file, known, or by a network.

Estimates smear edges, which count as unknown: the prior was trained so. And they are made to agree
with facts, one after the other (`hold_facts`):

    planes are planes, lines straight and upright ones upright (`planes`) -> what stands is upright
    (`upright`) -> what moves lies before what it hides (`set_before`)

What the camera does not see is found between the last two (`clean_plate`).
Silhouettes of people, animals, vehicles and whatever moves come first (`source.subjects`): they are
no part of a plane, and the other two facts are about them. Then an edge of depth runs where a
silhouette does, so that nothing lies between a person and the wall.

Of a camera that moves, what stands still is seen from several places:
where a plane sweep is sure of it, that corrects the estimates, and then they are fused. Depth and
the camera's path have one unit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from full4d_jax.config import DataConfig
from full4d_jax.geometry.arrays import Map, Maps, Picture
from full4d_jax.geometry.depth_maps import drop_depth_edges, fuse_depth
from full4d_jax.geometry.stereo_depth import stereo_depth
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
from full4d_jax.session.fields import refuse
from full4d_jax.session.files import Arrays
from full4d_jax.session.stages import Stages
from full4d_jax.source import options
from full4d_jax.source.depth import estimators, lines, planes, resting_scene
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import depth_from_file
from full4d_jax.source.depth.upright import forget_rim, stand_upright
from full4d_jax.source.handheld import path_scale
from full4d_jax.source.lens import LensEstimate
from full4d_jax.source.subjects import find_subjects


@dataclass(frozen=True)
class DepthInputs:
    """What depth is measured by, read before the first stage replaces an earlier one.

    Attributes:
      asked: the options.
      network: the depth network.
      depth: that of the file in the options; None without one.
    """

    asked: options.NetworkOptions
    network: estimators.AnyNetwork
    depth: Maps | None

    @property
    def settings(self) -> dict[str, Any]:
        """What the measured depth depends on beside the grid, for `stages.fingerprint`."""
        return {
            "file": self.asked.depth,
            "net": estimators.network_file(self.asked.depth_network),
            "kind": self.asked.depth_kind,
            "keep_estimate": self.asked.keep_estimate,
        }


def lens_estimate(network: estimators.AnyNetwork) -> LensEstimate | None:
    """Return a depth network's estimate of a clip's lens; None where it has none."""
    if isinstance(network, DepthFile) and network.signature.focal:
        return network.fov
    return None


def read_depth_inputs(source: options.SampleOptions, size: DataConfig) -> DepthInputs:
    """Read the depth network, and the file of depth where the options name one.

    Args:
      source: the options of the source.
      size: of the result, which the file has too.

    Raises:
      InputError: One of them is unusable, or both are asked for.
    """
    asked = source.measured or options.NetworkOptions()
    depth = None
    if asked.depth is not None:
        refuse({"depth_network": asked.depth_network}, "none beside --depth")
        depth = depth_from_file(asked.depth, size.frames, size.height, size.width)
    network = estimators.open_network(asked.depth_network, asked.depth_kind)
    return DepthInputs(asked, network, depth)


def run_depth(stages: Stages, grid: Grid, inputs: DepthInputs) -> Grid:
    """Run the stage depth: measure the real rows of a grid, and bring its cameras to that unit.

    Raises:
      InputError: The depth of the file does not follow a camera that moves, or has no depth where
        the unit of the path could be found.
    """
    if inputs.depth is not None:
        path_scale.check_moves(grid, inputs.depth, str(inputs.asked.depth))
    arrays = stages.run(
        "depth", inputs.settings, lambda: measure(grid, inputs, stages.say)
    )
    placed = path_scale.in_unit(grid, float(arrays["path_unit"]))
    return replace(placed, depth=arrays["depth"], around=None, plate=plate_in(arrays))


def measure(grid: Grid, inputs: DepthInputs, say: Callable[[str], None]) -> Arrays:
    """Return the depth of all real rows, in the world's unit, as the stage `depth` saves it.

    Args:
      grid: real rows with cameras.
      inputs: what depth is measured by.
      say: prints a line for people.

    Raises:
      InputError: see `run_depth`.
    """
    facts = not inputs.asked.keep_estimate
    plate = None
    if inputs.depth is not None:
        depth, unit = path_scale.settle_scale(grid, inputs.depth, estimated=False)
    else:
        if grid.depth is None and isinstance(inputs.network, DepthFile):
            say(inputs.network.description)
        depth, unit, _, swept, plate = measure_depth(grid, inputs.network, facts=facts)
        if swept:
            say(describe_sweep(swept))
        size = grid.frames.shape[2:4]
        if plate and (hidden := resting_scene.depth_within(plate, *size) > 0).any():
            found = (
                f"in {hidden.mean():.1%} of the picture somebody hides the background"
            )
            taken = "it is taken from before and after, or filled in by a network"
            say(f"depth: {found} for the whole part; {taken}")
    rows = [np.asarray(depth)]
    for view in range(1, grid.real_rows):
        assert grid.about.distances is not None, "a rig knows how far the scene is"
        other, own, *_ = measure_depth(alone(grid, view), inputs.network, facts=facts)
        scaled = other * (own * float(grid.about.distances[view]) / unit)
        rows.append(scaled.astype(np.float32))
    arrays = {"depth": np.stack(rows), "path_unit": np.asarray(unit)}
    return arrays if plate is None else arrays | part_arrays("plate", plate)


def measure_depth(
    source: Grid, network: estimators.AnyNetwork, *, facts: bool = False
) -> tuple[Maps, float, float | None, float, CleanPlate | None]:
    """Return the depth that is known with a source, or else what a network estimates.

    Args:
      source: of one camera.
      network: estimates depth that is not known.
      facts: whether what stands and moves is found, so that estimates agree with facts about it.

    Returns:
      Z-depth in world units, 0 where unknown; what a world unit is in units of the source's path
      (`in_unit`), and in metres, None where the network gives none; the share of the pixels of
      which a plane sweep is sure, 0 where none was believed; and what is behind the source's
      subjects, None where it is unknown.
    """
    pictures = source.frames[0]
    metres = plate = None
    swept = 0.0
    # To the network, such as the sky.
    unknown = np.zeros(pictures.shape[:3], bool)
    frames = to_model(pictures)
    still = not path_scale.source_moves(source)
    # Depth of the first look: recorded, from a file, or of the network.
    known = depth_in(source)
    estimated = known is None
    if known is None and isinstance(network, DepthFile):
        own = estimators.clip_depth(network, frames, still=still)
        unknown = own == 0
        middle = path_scale.first_median(own)
        known = estimators.as_far(own) / middle
        metres = middle if network.kind == "metric" else None
    elif known is None:
        known = np.asarray(estimators.source_depth(network, frames, still=still))
    settled, unit = path_scale.settle_scale(source, known, estimated=estimated)
    placed = path_scale.in_unit(source, unit)

    def estimate(picture: Picture) -> Map:
        """Return the depth of a picture, of any scale; what is unknown is far away."""
        seen = estimators.source_depth(network, to_model(picture[None]))
        return estimators.as_far(np.asarray(seen))[0]

    # Of a camera at rest, facts about the picture correct an estimate.
    if not estimated or still:
        if estimated and facts:
            known = replace(placed, depth=np.asarray(settled)[None])
            settled, plate = hold_facts(known, estimate)
        depth = _without_edges(settled)
        return np.where(unknown, 0, depth), unit, metres, swept, plate
    # Of a camera that moves, a plane sweep corrects it, where points tell a common unit.
    if points_in(source) is not None:
        where = (x.astype(np.float64) for x in placed.source_camera)
        settled, swept = stereo_depth(pictures, settled, *where)
        # The world's unit is the first median.
        again = path_scale.first_median(settled)
        settled = settled / again
        unit = unit * again
        placed = path_scale.in_unit(placed, again)
        metres = None if metres is None else metres * again
    camera = map(jnp.asarray, placed.source_camera)
    shown = jnp.asarray(_without_edges(settled))
    depth = np.asarray(fuse_depth(frames, shown, *camera))
    if facts:
        known = replace(placed, depth=depth[None])
        depth, plate = hold_facts(known, estimate)
        depth = _without_edges(depth)
    return np.where(unknown, 0, depth), unit, metres, swept, plate


def describe_sweep(swept: float) -> str:
    """Return a line for the user about the share of the pixels that a plane sweep found."""
    return (
        f"depth: {swept:.0%} of the pixels by a plane sweep, which corrects the network"
    )


def _without_edges(depth: Maps) -> Maps:
    return np.asarray(drop_depth_edges(jnp.asarray(depth)))


def hold_facts(
    source: Grid, estimate: resting_scene.Estimate
) -> tuple[Maps, CleanPlate]:
    """Return depth with which the facts agree, and the plate of what the camera does not see.

    Args:
      source: of one camera, with estimated depth in world units, 0 where unknown.
      estimate: returns the depth of a picture, for the clean plate.
    """
    still = not path_scale.source_moves(source)
    subjects = find_subjects(source)
    labels = subjects.labels
    # A camera that moves may change its pitch.
    lens, _ = source.source_camera
    up = lines.camera_up(source.frames[0], lens) if still else None
    upright = None if up is None else lines.UprightLines(lens, up)
    flat = planes.flatten_planes(source, upright, still=still, keep=labels > 0)
    standing = stand_upright(
        replace(source, depth=flat[None]), subjects, up=up or lines.UP
    )
    if still:
        standing = forget_rim(standing, labels)
    source = replace(source, depth=standing[None])
    plate = resting_scene.clean_plate(source, subjects, estimate)
    behind = resting_scene.depth_within(plate, *labels.shape[1:]) if still else None
    return resting_scene.set_before(source, labels, behind), plate
