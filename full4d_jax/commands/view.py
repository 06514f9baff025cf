"""Show a scene in the browser: a finished run with the cameras of its views, or a file."""

import secrets
import socket
from pathlib import Path
from typing import Annotated

from full4d_jax.scene.serving import page_server
from full4d_jax.session.buckets import origin
from full4d_jax.session.errors import input_errors, log
from full4d_jax.session.fields import Between
from full4d_jax.session.machine import Stopped
from full4d_jax.source import kinds, options
from input_pipeline.plain_files import read_regular

PAGE = "scene.html"
# In the order in which a run writes them; a first look at a new fit removes the pictures.
WRITTEN = ("grid.npz", "scene.npz", "scene.png", PAGE)


def view(
    *,
    source: options.SourcePath = Path("out"),
    seconds: options.PlaySeconds = None,
    port: Annotated[int, Between(0, 65535)] = 8080,
    public: bool = False,
) -> None:
    """Serve a scene until Ctrl-C; prints the address.

    The page that a run left is served as it is, any other scene's is built first.

    Args:
      source: the folder of a run with scene.npz, or a .4d.ply, .ply, .compressed.ply, .splat,
        .spz, .sog (or its unpacked folder) or .npz file; by default `out`.
      seconds: how long one pass through the clip plays; without it, as long as the video.
      port: where to listen; the next free one is taken when it is busy.
      public: let other machines look too: listen at all addresses of this one instead of at
        127.0.0.1 alone, and answer whoever knows the address that is printed.
    """
    kinds.require_kind(source, (kinds.RUN, kinds.SPLATS, kinds.ARRAYS))
    page = _page_of(source, seconds)
    secret = secrets.token_urlsafe(16) if public else ""
    with page_server(page, port=port, secret=secret) as server:
        host = socket.gethostname() if public else "localhost"
        log(f"{source}: http://{host}:{server.server_port}/{secret}, Ctrl-C ends")
        try:
            server.serve_forever()
        except Stopped:
            raise
        except KeyboardInterrupt:
            print()


def _page_of(source: Path, seconds: float | None) -> bytes:
    """Return the page that a run left of its scene, or else a new one; None keeps its seconds.

    Raises:
      InputError: there is no scene, or a file is damaged.
    """
    if seconds is None and _has_page_of_scene(source):
        with input_errors("page", "delete it"):
            return read_regular(source / PAGE)
    log(f"{source}: building a page, which may take a minute ...")
    from full4d_jax.scene.scene_reader import open_scene

    return open_scene(source).page(seconds).encode()


def _has_page_of_scene(folder: Path) -> bool:
    """Return whether a page lies in a folder that is of the scene there, by the files' times."""
    files = [folder / name for name in WRITTEN]
    # Copies from a bucket have the times of their download.
    if origin(folder) or not all(file.exists() for file in files):
        return False
    times = [file.stat().st_mtime_ns for file in files]
    return times == sorted(times)
