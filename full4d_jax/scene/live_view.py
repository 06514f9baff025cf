"""A finished scene in the browser, live: any time, playing or not, from the cameras of the run.

The page shows what `scene.html` shows; here every instant is computed when it is asked for, and the
cameras of the source and of the generated views are a button each.
"""

from contextlib import redirect_stdout
from io import StringIO
from typing import NamedTuple

import jax
import numpy as np
import viser
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.scene.page import viser_splats
from full4d_jax.source.camera_paths import PIVOT, directions
from gaussians import Scene
from input_pipeline.cameras import invert, orbit

SWEEP, ELEVATION = 30.0, 8.0  # degrees, of the orbit
ORBIT_SECONDS = 8.0
NEAREST = 0.05  # world units to the point that the mouse turns around


class Pose(NamedTuple):
    """A camera as viser takes it.

    Attributes:
      position: where it stands, world units.
      look_at: a point on its axis, world units.
      up: a direction.
      fov: vertical field of view, radians.
    """

    position: Float[ndarray, "3"]
    look_at: Float[ndarray, "3"]
    up: Float[ndarray, "3"]
    fov: float


def pose(world_to_camera: Float[ndarray, "4 4"], fov: float) -> Pose:
    """Return the camera, looking at the point of its axis that is nearest to the pivot."""
    camera_to_world = invert(np.asarray(world_to_camera, np.float64))
    position, forward = camera_to_world[:3, 3], camera_to_world[:3, 2]
    distance = max((PIVOT - position) @ forward, NEAREST)
    return Pose(position, position + distance * forward, -camera_to_world[:3, 1], fov)


class LiveView:
    """A server that shows one scene; `step` moves the time and the cameras, `stop` ends it.

    Attributes:
      scene: what is shown.
      shown: the splats in the page.
      time: the slider, [0, 1] from the first frame to the last.
      playing: the box that says whether `step` moves the time.
      orbiting: the box that says whether `step` moves the cameras.
    """

    def __init__(
        self,
        scene: Scene,
        cameras: Cameras,
        *,
        seconds: float,
        port: int,
        public: bool = False,
    ):
        """Start serving.

        Args:
          scene: in world units.
          cameras: of the views at evenly spaced times; view 0 is the source.
          seconds: how long one pass through the clip plays.
          port: to listen at; the next free one is taken when it is not, any when it is 0.
          public: listen to other machines too.
        """
        self.scene = scene
        views = range(len(cameras.intrinsics))
        self._seconds, self._poses = seconds, np.asarray(cameras.world_to_camera)
        self._fovs = [cameras.vertical_fov(view) for view in views]
        self._phase = 0.0
        self._at = jax.jit(type(scene).at)
        host = "0.0.0.0" if public else "127.0.0.1"
        with redirect_stdout(StringIO()):  # viser announces itself
            self._server = server = viser.ViserServer(host=host, port=port, verbose=False)
        server.gui.configure_theme(dark_mode=True)
        server.scene.set_up_direction("-y")
        start = pose(self._poses[0, 0], self._fovs[0])
        server.initial_camera.position = start.position
        server.initial_camera.look_at = start.look_at
        server.initial_camera.up = start.up
        server.initial_camera.fov = start.fov
        self.shown = server.scene.add_gaussian_splats("/scene", *self._instant(0.0))
        self.time = server.gui.add_slider("time", 0.0, 1.0, 0.001, 0.0)
        self.playing = server.gui.add_checkbox("play", initial_value=False)
        names = ["source", *(f"view {i}" for i in views[1:])]
        buttons = server.gui.add_button_group("camera", names)
        self.orbiting = server.gui.add_checkbox("orbit", initial_value=False)
        self.time.on_update(lambda _: self.shown.set_gaussians(*self._instant(self.time.value)))

        @buttons.on_click
        def _(event: viser.GuiEvent) -> None:
            self.orbiting.value = False
            if event.client is not None:
                place(event.client, self.view(names.index(event.target.value)))

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        return f"http://localhost:{self._server.get_port()}"

    def view(self, index: int) -> Pose:
        """Return the camera of a view, where it stands at the time shown."""
        poses = self._poses[index]
        return pose(poses[round(self.time.value * (len(poses) - 1))], self._fovs[index])

    def orbit_pose(self) -> Pose:
        """Return the camera on its way around the source's position; it looks at the pivot."""
        angles = directions("ring", np.array([self._phase]), SWEEP, ELEVATION)
        return pose(orbit(*angles.T)[0], self._fovs[0])

    def step(self, elapsed: float) -> None:
        """Go on by `elapsed` seconds, as far as time is playing and the cameras are orbiting."""
        if self.playing.value:
            self.time.value = (self.time.value + elapsed / self._seconds) % 1.0
        if self.orbiting.value:
            self._phase = (self._phase + elapsed / ORBIT_SECONDS) % 1.0
            for client in self._server.get_clients().values():
                place(client, self.orbit_pose())

    def stop(self) -> None:
        """End the server and disconnect all browsers."""
        with redirect_stdout(StringIO()):
            self._server.stop()

    def _instant(self, time: float) -> tuple[Float[ndarray, "g ..."], ...]:
        return viser_splats(self._at(self.scene, np.float32(time)))


def place(client: viser.ClientHandle, pose: Pose) -> None:
    """Move a browser's camera."""
    with client.atomic():
        client.camera.up_direction = pose.up
        client.camera.position = pose.position
        client.camera.look_at = pose.look_at
        client.camera.fov = pose.fov
