"""A scene from any path that holds one, and how it is looked at."""

from dataclasses import dataclass
from pathlib import Path

from full4d_jax.scene import page
from full4d_jax.scene.reading import posed_grid, read_scene
from full4d_jax.scene.scene_arrays import from_arrays
from full4d_jax.session.stages import Stages
from gaussians import Gaussians, Scene


@dataclass(frozen=True)
class ShownScene:
    """A scene that was read, with the cameras to look at it.

    Attributes:
      scene: in world units.
      viewing: from the cameras of its run, or from before its middle.
      seconds: one pass through its clip.
      title: of its page.
    """

    scene: Scene | Gaussians
    viewing: page.Viewing
    seconds: float
    title: str

    @property
    def count(self) -> int:
        """Return the number of Gaussians."""
        scene = self.scene
        return len(scene.means if isinstance(scene, Gaussians) else scene.gaussians.means)

    def page(self, seconds: float | None) -> str:
        """Return the page, of which one pass lasts so many seconds; None keeps the clip's."""
        lasts = seconds or self.seconds
        return page.page_text(self.scene, self.viewing, seconds=lasts, title=self.title)


def open_scene(source: Path) -> ShownScene:
    """Read the scene of a run's folder, or of a file that `read_scene` knows.

    Raises:
      InputError: There is none, or the file is damaged.
    """
    if not source.is_dir():
        scene = read_scene(source)
        return ShownScene(scene, page.overview(scene), page.UNKNOWN_CLIP_SECONDS, source.name)
    stages = Stages(source)
    arrays = stages.finished("scene")
    if not (source / "grid.npz").exists():
        scene = from_arrays(arrays)
        return ShownScene(scene, page.overview(scene), page.UNKNOWN_CLIP_SECONDS, page.TITLE)
    grid = posed_grid(stages)
    viewing = page.run_viewing(grid.known_cameras, grid.frames[0], arrays.get("background"))
    return ShownScene(from_arrays(arrays), viewing, page.clip_seconds(grid.times), page.TITLE)
