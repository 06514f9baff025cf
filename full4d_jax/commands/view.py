"""A finished run in the browser, live, with sliders for time and a button for every camera."""

import time
from pathlib import Path

from full4d_jax.session.options import check_range

FRAMES = 24  # a second


def view(
    *, out: Path = Path("out"), seconds: float = 4.0, port: int = 8080, public: bool = False
) -> None:
    """Serve the scene that `lift` left in a folder until Ctrl-C; prints the address.

    Args:
      out: the folder with scene.npz.
      seconds: how long one pass through the clip plays.
      port: where to listen; the next free one is taken when it is busy.
      public: let other machines of the network look too, not this one only.
    """
    check_range("--port", port, 0, 65535)
    check_range("--seconds", seconds, 0.1, 600)
    from full4d_jax.cameras import cameras_in
    from full4d_jax.scene.live_view import LiveView
    from full4d_jax.scene.scene_arrays import from_arrays
    from full4d_jax.session.stages import Stages

    stages = Stages(out)
    grid = stages.finished("grid", "sample")
    scene = from_arrays(stages.finished("scene", "lift"))
    viewer = LiveView(
        scene,
        cameras_in(grid),
        seconds=seconds,
        port=port,
        public=public,
    )
    print(f"{out}: {len(scene.gaussians.means)} Gaussians at {viewer.url}, Ctrl-C ends", flush=True)
    last = time.perf_counter()
    try:
        while True:
            time.sleep(1 / FRAMES)
            now = time.perf_counter()
            viewer.step(now - last)
            last = now
    except KeyboardInterrupt:
        print()
    finally:
        viewer.stop()
