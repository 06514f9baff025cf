"""Show a scene in the browser: a finished run with the cameras of its views, or a file."""

import secrets
import socket
from pathlib import Path
from typing import Annotated

from full4d_jax.session.errors import require_range
from full4d_jax.source.kinds import ARRAYS, RUN, SPLATS, require_kind
from full4d_jax.source.options import Named


def view(
    *,
    source: Annotated[Path, Named] = Path("out"),
    seconds: float | None = None,
    port: int = 8080,
    public: bool = False,
) -> None:
    """Serve a scene until Ctrl-C; prints the address.

    Args:
      source: the folder of a run with scene.npz, or a .4d.ply, .ply, .compressed.ply, .splat or
        .npz file; left out, `out`.
      seconds: how long one pass through the clip plays; without it, as long as the video.
      port: where to listen; the next free one is taken when it is busy.
      public: let other machines look too: listen at all addresses of this one instead of at
        127.0.0.1 alone, and answer whoever knows the address that is printed.
    """
    require_range("--port", port, 0, 65535)
    if seconds is not None:
        require_range("--seconds", seconds, 0.1, 600)
    kind = require_kind(source, (RUN, SPLATS, ARRAYS))
    from full4d_jax.scene import page
    from full4d_jax.scene.reading import posed_grid, read_scene
    from full4d_jax.scene.scene_arrays import from_arrays
    from full4d_jax.scene.serving import page_server
    from full4d_jax.session.stages import Stages
    from gaussians import Gaussians

    title = source.name
    clip_seconds = page.SECONDS
    if kind != RUN:
        shown = read_scene(source)
        viewing = page.overview(shown)
    else:
        title = page.TITLE
        stages = Stages(source)
        grid = posed_grid(stages)
        arrays = stages.finished("scene")
        shown = from_arrays(arrays)
        background = arrays.get("background")
        assert grid.cameras is not None, "it was refused without"
        viewing = page.run_viewing(grid.cameras, grid.frames[0], background)
        clip_seconds = page.clip_seconds(grid.times)
    text = page.page_text(shown, viewing, seconds=seconds or clip_seconds, title=title)
    count = len(shown.means if isinstance(shown, Gaussians) else shown.gaussians.means)
    secret = secrets.token_urlsafe(16) if public else ""
    with page_server(text, port=port, secret=secret) as server:
        address = f"http://{socket.gethostname() if public else 'localhost'}:{server.server_port}"
        address += f"/{secret}"
        print(f"{source}: {count} Gaussians at {address}, Ctrl-C ends", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
