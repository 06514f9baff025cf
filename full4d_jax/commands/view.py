"""Show a scene in the browser: a finished run with the cameras of its views, or a file."""

import secrets
import socket
from pathlib import Path
from typing import Annotated

from full4d_jax.session.fields import Between
from full4d_jax.source import kinds, options


def view(
    *,
    source: options.SourcePath = Path("out"),
    seconds: options.PlaySeconds = None,
    port: Annotated[int, Between(0, 65535)] = 8080,
    public: bool = False,
) -> None:
    """Serve a scene until Ctrl-C; prints the address.

    Args:
      source: the folder of a run with scene.npz, or a .4d.ply, .ply, .compressed.ply, .splat,
        .spz, .sog or .npz file; by default `out`.
      seconds: how long one pass through the clip plays; without it, as long as the video.
      port: where to listen; the next free one is taken when it is busy.
      public: let other machines look too: listen at all addresses of this one instead of at
        127.0.0.1 alone, and answer whoever knows the address that is printed.
    """
    kinds.require_kind(source, (kinds.RUN, kinds.SPLATS, kinds.ARRAYS))
    from full4d_jax.scene.scene_reader import open_scene
    from full4d_jax.scene.serving import page_server

    shown = open_scene(source)
    text = shown.page(seconds)
    secret = secrets.token_urlsafe(16) if public else ""
    with page_server(text, port=port, secret=secret) as server:
        host = socket.gethostname() if public else "localhost"
        address = f"http://{host}:{server.server_port}/{secret}"
        print(
            f"{source}: {shown.count} Gaussians at {address}, Ctrl-C ends", flush=True
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
