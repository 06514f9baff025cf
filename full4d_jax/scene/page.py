"""One offline page of a 4D scene: orbit with the mouse, scrub the time, play.

The page is viser's own client with a recording inside (`StateSerializer.as_html`): nothing is
loaded from the network. viser draws splats of one colour each, so the page shows their mean colour.
"""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import jax
import numpy as np
import viser
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.session.files import whole_file
from gaussians import Gaussians
from gaussians.rotation import rotation_matrix
from gaussians.scene_files import mean_colors, sigmoid

_rotations = jax.jit(rotation_matrix)


def viser_splats(scene: Gaussians) -> tuple[Float[ndarray, "g ..."], ...]:
    """Return centres (g 3), covariances (g 3 3), colours (g 3), opacities (g 1) in viser's order.

    Gaussians that are not seen stay: viser draws nothing sensible for a while whenever their number
    changes.
    """
    axes = np.asarray(_rotations(scene.quaternions)) * np.exp(scene.log_scales)[:, None, :]
    covariances = axes @ np.swapaxes(axes, -1, -2)
    colors = np.clip(mean_colors(np.asarray(scene.harmonics)), 0, 1)
    opacities = sigmoid(np.asarray(scene.logit_opacities))
    return np.asarray(scene.means), covariances, colors, opacities[:, None]


def write_page(
    path: str | Path, instants: Sequence[Gaussians], *, seconds: float, vertical_fov: float
) -> None:
    """Write the page; its camera starts as the source's and turns around the pivot (0, 0, 1).

    Args:
      path: the .html file.
      instants: the scene at evenly spaced times.
      seconds: how long one pass through the instants lasts.
      vertical_fov: degrees.
    """
    # viser records what its server sends. The server listens on this machine only, until the page
    # is made; its announcements would only confuse here.
    with redirect_stdout(StringIO()):
        server = viser.ViserServer(host="127.0.0.1", verbose=False)
        try:
            server.initial_camera.fov = float(np.radians(vertical_fov))
            page = _record(server, instants, seconds / len(instants))
        finally:
            server.stop()
    with whole_file(Path(path)) as partial:
        partial.write_text(page.replace("<title>Viser</title>", "<title>Full-4D scene</title>"))


def _record(server: viser.ViserServer, instants: Sequence[Gaussians], pause: float) -> str:
    server.scene.set_up_direction("-y")
    server.initial_camera.up = (0.0, -1.0, 0.0)
    server.initial_camera.position = (0.0, 0.0, 0.0)
    server.initial_camera.look_at = (0.0, 0.0, 1.0)
    recording = server.get_scene_serializer()
    splats = server.scene.add_gaussian_splats("/scene", *viser_splats(instants[0]))
    for instant in instants[1:]:
        recording.insert_sleep(pause)
        splats.set_gaussians(*viser_splats(instant))
    recording.insert_sleep(pause)
    return recording.as_html(dark_mode=True)
