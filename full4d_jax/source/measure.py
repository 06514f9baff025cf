"""The stage that measures the depth of a grid's real rows: from a file, known, or by a network.

Estimates are made to agree with facts (`depth.facts`). They smear edges, which count as unknown:
the prior was trained so. Of a camera that moves, what stands still is seen from several places:
where a plane sweep is sure of it, that corrects the estimates, and then they are fused. Depth and
the camera's path have one unit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.config import DataConfig
from full4d_jax.geometry.arrays import Map, Maps, Picture
from full4d_jax.geometry.depth_maps import EDGE_BEND, drop_depth_edges, fuse_depth
from full4d_jax.geometry.stereo_depth import stereo_depth
from full4d_jax.grid import (
    CleanPlate,
    Grid,
    alone,
    depth_in,
    plate_arrays,
    plate_in,
    points_in,
)
from full4d_jax.media.pictures import to_model
from full4d_jax.session.errors import InputError
from full4d_jax.session.files import Arrays
from full4d_jax.session.stages import Stages
from full4d_jax.source import options
from full4d_jax.source.depth.clean_plate import depth_within, describe_plate
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import depth_from_file, estimate_depth
from full4d_jax.source.depth.estimators import (
    AnyNetwork,
    as_far,
    clip_depth,
    network_file,
    open_network,
    source_depth,
)
from full4d_jax.source.depth.facts import hold_facts
from full4d_jax.source.handheld.path_scale import check_moves, in_unit, settle_scale, source_moves
from full4d_jax.source.lens import LensEstimate
from full4d_jax.source.subjects import SubjectNetworks, load_subject_networks
from input_pipeline.cameras import rescale


@dataclass(frozen=True)
class DepthInputs:
    """What depth is measured by, read before the first stage replaces an earlier one.

    Attributes:
      asked: the options.
      network: the depth network.
      depth: that of the file in the options; None without one.
    """

    asked: options.NetworkOptions
    network: AnyNetwork
    depth: Maps | None

    @property
    def settings(self) -> dict[str, Any]:
        """What the measured depth depends on beside the grid, for `stages.fingerprint`."""
        return {
            "file": self.asked.depth,
            "net": network_file(self.asked.depth_network),
            "kind": self.asked.depth_kind,
            "keep_estimate": self.asked.keep_estimate,
        }


def lens_estimate(network: AnyNetwork) -> LensEstimate | None:
    """Return a depth network's estimate of a clip's lens; None where it has none."""
    return network.fov if isinstance(network, DepthFile) and network.knows_lens else None


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
        if asked.depth_network is not None:
            expected = "none beside --depth"
            do = "leave one of them out"
            raise InputError("option", "--depth_network", asked.depth_network, expected, do)
        depth = depth_from_file(asked.depth, size.frames, size.height, size.width)
    return DepthInputs(asked, open_network(asked.depth_network, asked.depth_kind), depth)


def run_depth(stages: Stages, grid: Grid, inputs: DepthInputs) -> Grid:
    """Run the stage depth: measure the real rows of a grid, and bring its cameras to that unit.

    Raises:
      InputError: The depth of the file does not follow a camera that moves, or has no depth where
        the unit of the path could be found.
    """
    if inputs.depth is not None:
        check_moves(grid, inputs.depth, str(inputs.asked.depth))
    arrays = stages.run("depth", inputs.settings, lambda: measure(grid, inputs, stages.say))
    placed = in_unit(grid, float(arrays["path_unit"]))
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
    subject_networks = None if inputs.asked.keep_estimate else load_subject_networks()
    plate = None
    if inputs.depth is not None:
        depth, unit = settle_scale(grid, inputs.depth, estimated=False)
    else:
        if grid.depth is None and isinstance(inputs.network, DepthFile):
            say(inputs.network.description)
        depth, unit, _, swept, plate = measure_depth(grid, inputs.network, subject_networks)
        if swept:
            say(describe_sweep(swept))
        behind = depth_within(plate, *grid.frames.shape[2:4]) if plate else None
        if behind is not None and behind.any():
            say(describe_plate(behind))
    rows = [np.asarray(depth)]
    for view in range(1, grid.real_rows):
        assert grid.about.distances is not None, "a rig knows how far the scene is"
        other, own, *_ = measure_depth(alone(grid, view), inputs.network, subject_networks)
        scaled = other * (own * float(grid.about.distances[view]) / unit)
        rows.append(scaled.astype(np.float32))
    arrays = {"depth": np.stack(rows), "path_unit": np.asarray(unit)}
    return arrays if plate is None else arrays | plate_arrays(plate)


class MeasuredDepth(NamedTuple):
    """Depth of a source.

    Attributes:
      depth: z-depth in world units, 0 where unknown.
      path_unit: what a world unit is in units of the source's path (`in_unit`).
      metres: what a world unit is in metres; None where the network gives none.
      swept: share of the pixels of which a plane sweep is sure; 0 where none was believed.
      plate: what is behind the source's subjects; None where it is unknown.
    """

    depth: Maps
    path_unit: float
    metres: float | None
    swept: float = 0.0
    plate: CleanPlate | None = None


def measure_depth(
    source: Grid, network: AnyNetwork, subject_networks: SubjectNetworks | None = None
) -> MeasuredDepth:
    """Return the depth that is known with a source, or else what a network estimates.

    Args:
      source: of one camera.
      network: estimates depth that is not known.
      subject_networks: they find what stands and moves, so that estimates agree with facts about
        it; None leaves estimates as they are.
    """
    pictures = source.frames[0]
    metres = plate = None
    swept = 0.0
    # To the network, such as the sky.
    unknown = np.zeros(pictures.shape[:3], bool)
    frames = to_model(pictures)
    still = not source_moves(source)
    # Depth of the first look: recorded, from a file, or of the network.
    known = depth_in(source)
    estimated = known is None
    if known is not None:
        pass
    elif isinstance(network, DepthFile):
        own = clip_depth(network, frames, still=still)
        unknown = own == 0
        middle = float(np.median(own[0][own[0] > 0]))
        known = as_far(own) / middle
        metres = middle if network.kind == "metric" else None
    else:
        known = np.asarray(estimate_depth(network, frames, still=still))
    settled, unit = settle_scale(source, known, estimated=estimated)
    placed = in_unit(source, unit).known_cameras
    lens = np.asarray(placed.intrinsics[0])
    path = np.asarray(placed.world_to_camera[0])
    estimate = partial(_of_picture, network)
    # Of a camera at rest, facts about the picture correct an estimate.
    if not estimated or still:
        if estimated and subject_networks is not None:
            view = np.asarray(settled), pictures, lens, path
            settled, plate = hold_facts(*view, subject_networks, source.around, estimate)
        shown = np.asarray(_without_edges(settled))
        return MeasuredDepth(np.where(unknown, 0, shown), unit, metres, plate=plate)
    # Of a camera that moves, a plane sweep corrects it, where points tell a common unit.
    if points_in(source) is not None:
        where = lens.astype(np.float64), path.astype(np.float64)
        settled, swept = stereo_depth(pictures, settled, *where)
        # The world's unit is the first median.
        again = float(np.median(settled[0][settled[0] > 0]))
        settled = settled / again
        unit = unit * again
        path = rescale(path, again).astype(np.float32)
        metres = None if metres is None else metres * again
    camera = map(jnp.asarray, (lens, path))
    depth = np.asarray(fuse_depth(frames, _without_edges(settled), *camera))
    if subject_networks is not None:
        view = depth, pictures, lens, path
        depth, plate = hold_facts(*view, subject_networks, None, estimate)
        depth = np.asarray(_without_edges(depth))
    return MeasuredDepth(np.where(unknown, 0, depth), unit, metres, swept, plate)


def _of_picture(network: AnyNetwork, picture: Picture) -> Map:
    """Return the depth of a picture, of any scale; what is unknown is far away."""
    return as_far(np.asarray(source_depth(network, to_model(picture[None]))))[0]


def describe_sweep(swept: float) -> str:
    """Return a line for the user about the share of the pixels that a plane sweep found."""
    return f"depth: {swept:.0%} of the pixels by a plane sweep, which corrects the network"


def _without_edges(depth: Maps) -> Float[Array, "t h w"]:
    return drop_depth_edges(jnp.asarray(depth), EDGE_BEND)
