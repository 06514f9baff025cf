"""A page for the browsers that ask, from memory."""

import errno
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from full4d_jax.session.errors import InputError

TRIES = 20  # ports, from the one that was asked for


def page_server(page: str, *, port: int, public: bool = False) -> ThreadingHTTPServer:
    """Return a server that answers with the page once `serve_forever` runs.

    Args:
      page: the HTML.
      port: to listen at; the next free one is taken when it is not, any when it is 0.
      public: listen to other machines too.

    Raises:
      InputError: No port can be used.
    """
    content = page.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.partition("?")[0] in ("/", "/scene.html")
            answer = content if known else b""
            self.send_response(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing: the address is on the screen, and nobody reads the rest."""

    host = "0.0.0.0" if public else "127.0.0.1"
    for tried in range(port, min(port + TRIES, 65536) if port else 1):
        try:
            return ThreadingHTTPServer((host, tried), Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    do = "give another --port, or 0 for any"
    raise InputError("option", "--port", port, f"a free one of the {TRIES} from there on", do)
