"""The sound of a video in the page: what the page holds, and that it keeps step with the time."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from moving_scene import cameras, moving_ball
from video_with_sound import TONE, write_video_with_sound

from full4d_jax.media.sound import read_sound
from full4d_jax.scene.page import run_viewing, write_page


def make_video(path: Path, *, seconds: int, sound_at: float = 0.0) -> Path:
    """A video of 25 pictures a second, whose tone begins in second 2."""
    frames = np.full((25 * seconds, 48, 64, 3), 90, np.uint8)
    return write_video_with_sound(path, frames, 25, tone_at=2.0, sound_at=sound_at)


def decoded(content: bytes) -> tuple[np.ndarray, int]:
    """Samples of an audio file, and how many are in a second."""
    with av.open(io.BytesIO(content), "r") as container:
        (stream,) = container.streams.audio
        parts = [frame.to_ndarray() for frame in container.decode(stream)]
        return np.concatenate(parts, 1), stream.rate


@pytest.mark.parametrize(
    ("start", "seconds", "sound_at"), [(1.5, 1.86, 0.0), (0.0, 4.0, 1.0)]
)
def test_the_sound_is_that_of_the_part(tmp_path, start, seconds, sound_at):
    film = make_video(tmp_path / "film.mp4", seconds=4, sound_at=sound_at)
    sound = read_sound(film, np.array([start, start + seconds]))
    assert sound is not None
    samples, rate = decoded(sound.tobytes())
    assert len(samples) == 1  # mono
    assert samples.shape[1] / rate == pytest.approx(seconds, abs=0.1)
    # 48,000 bits a second, and the file's head.
    assert 8 * len(sound) / seconds < 80_000
    heard = np.flatnonzero(np.abs(samples[0]) > 0.2) / rate
    assert heard[0] == pytest.approx(max(0, 2 - start), abs=0.03)
    assert heard[-1] == pytest.approx(min(seconds, 4 - start), abs=0.03)
    middle = samples[0, int(heard[0] * rate) :][: rate // 2]
    peak = np.abs(np.fft.rfft(middle)).argmax() * rate / len(middle)
    assert peak == pytest.approx(TONE, abs=3)


def test_the_sound_keeps_step_in_a_browser(tmp_path, browser):
    sound = read_sound(
        make_video(tmp_path / "film.mp4", seconds=6), np.array([0.0, 6.0])
    )
    viewing = run_viewing(cameras(), background=np.zeros(3))
    page = tmp_path / "scene.html"
    write_page(page, moving_ball(), viewing, seconds=6.0, sound=sound)
    browser.open(page.as_uri(), width=390, height=844)
    browser.wait("viewer.sound.element.readyState >= 1")
    assert abs(browser.script("viewer.sound.element.duration") - 6) < 0.1
    browser.wait("viewer.clock.time > 0.02")
    assert browser.script("viewer.sound.element.paused")  # nobody asked yet
    apart = "Math.abs(viewer.sound.element.currentTime - 6 * viewer.clock.time)"
    browser.click("document.getElementById('speaker')")
    browser.wait(
        f"!viewer.sound.element.paused && viewer.sound.element.currentTime && {apart} < 0.2"
    )
    browser.script("viewer.clock.nextSpeed()")
    browser.wait("viewer.sound.element.playbackRate == 0.5")
    browser.script("viewer.clock.seek(0.75)")
    browser.wait("viewer.sound.element.paused")
    browser.key(" ")
    browser.wait(
        "!viewer.sound.element.paused && viewer.sound.element.currentTime > 4.4"
    )
    browser.wait(f"{apart} < 0.2")
    browser.key("m")
    browser.wait("viewer.sound.element.paused && !viewer.sound.on")
    buttons = [f"document.getElementById('{x}')" for x in ("play", "ask")]
    # They are in one row.
    assert len({browser.place(button)["y"] for button in buttons}) == 1
