"""Files in object storage, against emulators of two stores."""

from pathlib import Path

import fsspec
import pytest
from buckets import EMULATORS

from input_pipeline.addresses import download, require_writable, stored_files, upload
from input_pipeline.plain_files import FileRefusal
from input_pipeline.whole_files import whole_file


@pytest.fixture
def forget_clients():
    """Let fsspec make clients anew, which read the environment then."""
    yield _forget()
    _forget()


def _forget() -> None:
    for scheme in ("gs", "s3"):
        fsspec.get_filesystem_class(scheme).clear_instance_cache()


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

    path = Path(f"{bucket}/file")
    with pytest.raises(ZeroDivisionError), whole_file(path) as partial:
        fail(partial)
    assert stored_files(bucket) == {}
    with whole_file(path) as partial:
        partial.write_text("whole")
    assert stored_files(bucket).keys() == {"file"}


@EMULATORS
def test_a_bucket_that_is_not_there(bucket):
    scheme = bucket.partition("://")[0]
    with pytest.raises(FileRefusal, match=f"{scheme}://none/a: found nothing"):
        stored_files(f"{scheme}://none/a")


@EMULATORS
def test_a_missing_credential_of_amazon(storage, monkeypatch, forget_clients):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(FileRefusal, match=r"found no access .*expected credentials"):
        stored_files("s3://bucket/a")
