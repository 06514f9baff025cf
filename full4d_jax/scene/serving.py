"""A page for the browsers that ask, from memory; and what it may do there.

A web site that somebody visits can send requests to this machine. It gets nothing: its own name
stands in `Host` if it made that name point here, and in `Origin` otherwise, and no page may frame
ours. A public server cannot know its own names, so a secret stands in its address instead.
"""

import errno
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from full4d_jax.session.errors import InputError

# Ports from the given one on that are tried.
PORTS_TRIED = 20
# A browser that follows this loads nothing, whatever the page says.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data:; media-src data:"
)
LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


def page_server(page: bytes, *, port: int, secret: str = "") -> ThreadingHTTPServer:
    """Return a server that answers with the page once `serve_forever` runs.

    Args:
      page: the HTML, in UTF-8; it may come from a stranger's folder.
      port: to listen at; the next free one is taken when it is not, any when it is 0.
      secret: listen to other machines too, and answer at /SECRET alone; default: this machine
        alone.

    Raises:
      InputError: No port can be used.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self.wfile.write(self._answer())

        def _answer(self) -> bytes:
            """Send the status and the headers, and return what follows them."""
            # Only a listener who was told the address gets the scene, and no page of another site.
            places = (f"/{secret}",) if secret else ("/", "/scene.html")
            known = self.path.partition("?")[0] in places
            status = HTTPStatus.OK if known else HTTPStatus.NOT_FOUND
            if not self._asked_from_here():
                status = HTTPStatus.FORBIDDEN
            answer = page if status == HTTPStatus.OK else b""
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Cache-Control", "no-store")
            policy = f"{POLICY}; frame-ancestors 'none'"
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.end_headers()
            return answer

        def _asked_from_here(self) -> bool:
            """Return whether the address that was asked, and the page that asks, are ours."""
            host = self.headers.get("Host", "")
            origin = self.headers.get("Origin")
            local = bool(secret) or LOCAL.fullmatch(host) is not None
            return local and origin in (None, f"http://{host}")

        def log_message(self, *_: object) -> None:
            """Print nothing: the address is on the screen, and the rest is of no use."""

    host = "0.0.0.0" if secret else "127.0.0.1"
    # Port 0 lets the system choose; a port of another program gives way to the next.
    for tried in range(port, min(port + PORTS_TRIED, 65536) if port else 1):
        try:
            return ThreadingHTTPServer((host, tried), Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    expected = f"a free one of the {PORTS_TRIED} from there on"
    do = "give another --port, or 0 for any"
    raise InputError("option", "--port", port, expected, do)
