"""Show a finished run in the browser, with a slider for time and a button for every camera."""

import time
from pathlib import Path

from full4d_jax.session.errors import require_range

FPS = 24


def view(
    *, out: Path = Path("out"), seconds: float = 4.0, port: int = 8080, public: bool = False
) -> None:
    """Serve the scene that `lift` left in a folder until Ctrl-C; prints the address.

    Args:
      out: the folder with scene.npz.
      seconds: how long one pass through the clip plays.
      port: where to listen; the next free one is taken when it is busy.
      public: let other machines of the network look too.
    """
    require_range("--port", port, 0, 65535)
    require_range("--seconds", seconds, 0.1, 600)
    from full4d_jax.cameras import cameras_in
    from full4d_jax.scene.live_view import LiveView
    from full4d_jax.scene.scene_arrays import from_arrays
    from full4d_jax.session.stages import Stages

    stages = Stages(out)
    grid = stages.finished("grid")
    scene = from_arrays(stages.finished("scene"))
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
            time.sleep(1 / FPS)
            now = time.perf_counter()
            viewer.step(now - last)
            last = now
    except KeyboardInterrupt:
        print()
    finally:
        viewer.stop()
