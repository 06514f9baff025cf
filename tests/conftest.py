"""Strict settings for every test: eight simulated devices, float32, no silent broadcasting.

Most of the tests' time is in XLA's compiler, three times as fast without the optimizations of LLVM,
and twice as fast again where it writes loops itself instead of through MLIR, which it sets up anew
for every loop. What these change is the order of roundings; XLA's own passes all run.

Warnings are errors; `pyproject.toml` lists the exceptions and why.
"""

import functools
import gc
import os
import sys
import threading
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

# .ci/run runs the oracles once more with this variable set, at XLA's own flags.
os.environ["XLA_FLAGS"] = " ".join(
    (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
        # The jaxlib of Python 3.11; later ones do not know the flag.
        "--xla_cpu_use_fusion_emitters=false" * version("jaxlib").startswith("0.10."),
        "",
    )
) * ("FULL4D_TEST_XLA_DEFAULTS" not in os.environ) + os.environ.get("XLA_FLAGS", "")

# Workers share the cores; threads of BLAS that wait for each other would take them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import av
import cv2
import jax
import jaxtyping
import numpy as np
import pytest

MOST_MAPS = 25_000
# The longest files, of `make test` or of what is slow, which workers take first: they end together.
LONGEST = (
    "pod/test_rehearsal.py",
    "full4d_jax/training/checkpoints/test_kill.py",
    "full4d_jax/training/test_processes.py",
    "full4d_jax/test_pipeline.py",
    "test_docs_run.py",
    "test_chaos.py",
    "test_attacks.py",
    "test_notebook.py",
)
REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))  # for the helpers beside this file
from buckets import BUCKET, amazon_storage, google_storage  # noqa: E402

# Set by benchmarks/accelerator.py.
PLATFORMS = os.environ.get("FULL4D_TEST_PLATFORMS", "cpu")
jax.config.update("jax_platforms", PLATFORMS)
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

if version("jaxlib").startswith("0.10."):  # later ones reuse contexts themselves
    from jax._src.interpreters import mlir

    # To set one up for every program is a fifth of the time of small ones, and half of the memory.
    context_of = functools.cache(lambda thread, make=mlir.make_ir_context: make())
    mlir.make_ir_context = lambda: context_of(threading.get_ident())

# Tracing makes millions of objects that live on; at Python's own thresholds their collection is a
# tenth of the tests' time.
gc.freeze()
gc.set_threshold(1_000_000, 10, 10)


def pytest_configure(config):
    """Keep compiled programs: between the processes of one run, and from run to run."""
    if not hasattr(config, "cache"):  # -p no:cacheprovider
        return
    settings = {
        "jax_compilation_cache_dir": str(config.cache.mkdir("programs")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,  # reading is quicker than any compiling
        "jax_persistent_cache_min_entry_size_bytes": -1,
        "jax_persistent_cache_enable_xla_caches": "none",  # else a copied folder is never read
        "jax_traceback_in_locations_limit": 0,  # a tenth of the time of lowering
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)  # for processes that tests start


def pytest_collection_modifyitems(items):
    """Put the longest files first; needs `--no-loadscope-reorder` of pytest-xdist."""
    tests = REPOSITORY / "tests"
    longest = {tests / name for name in LONGEST}
    items.sort(key=lambda item: item.path not in longest)


def pytest_runtest_setup(item):
    """Skip a test whose marker `extra` names a module that is not installed."""
    for marker in item.iter_markers("extra"):
        for module in marker.args:
            reason = f"{module} is not installed; .ci/run installs it"
            pytest.importorskip(module, reason=reason)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Drop compiled programs before they use up the memory maps a process may have.

    Linux allows 65,530; every program holds some, and XLA crashes where it gets no more.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture
def unchecked(monkeypatch) -> None:
    """Turn the check of annotations off: bad input must reach the errors that users see."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real captures and weights, from FULL4D_DATA; skips the test without one."""
    folder = Path(os.environ.get("FULL4D_DATA", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder / 'data'} is no folder (set FULL4D_DATA)")
    return folder


@pytest.fixture(scope="session")
def storage(tmp_path_factory):
    """Emulators of Google's and Amazon's object storage, which all programs here use."""
    with (
        google_storage(tmp_path_factory.mktemp("storage")) as google,
        amazon_storage() as amazon,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in (google | amazon).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(params=["gs", "s3"])
def bucket(request, storage, tmp_path, monkeypatch) -> str:
    """An address below which nothing lies, and no copies of anything in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"{request.param}://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def make_video():
    """A function that writes a video: `times` in hundredths of a second; frame i is 20 i bright.

    The upper left quarter of every frame is white.
    """

    def write(
        path, times, *, rotation=0, pix_fmt="yuv420p", codec="libx264", size=(48, 64)
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(25))
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = size
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = Fraction(1, 100)
            if rotation:
                stream.set_display_rotation(rotation)
            for number, time in enumerate(times):
                picture = np.full((*size, 3), (20 * number) % 240, np.uint8)
                picture[: size[0] // 2, : size[1] // 2] = 250
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 100)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def write_pictures():
    """A function that writes smooth pictures of `size` (rows, columns) under these paths."""

    def write(paths, *, size=(24, 32)):
        y, x = np.mgrid[: size[0], : size[1]] / size[1]
        for i, path in enumerate(paths):
            waves = [np.sin(3 * x + i), np.cos(2 * y + i), np.sin(2 * x + 3 * y)]
            picture = np.round(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())

    return write
