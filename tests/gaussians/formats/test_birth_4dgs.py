"""`.4dgs` and `.glb` files: another library reads them, and sees the same picture."""

import fourdgs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fourdgs.validate import validate

from gaussians.formats.birth_4dgs import save_4dgs
from gaussians.formats.gltf import save_glb
from gaussians.formats.scene_files import FormatError, logit, mean_harmonics
from gaussians.types import Gaussians

SECONDS = 2.5
# From glTF's axes to ours, for positions and quaternions, and the first coefficients of a band.
AXES = np.array([1, -1, -1])
TURNED = np.array([1, 1, -1, -1])


def ours_of(theirs, shown, centers, turns, opacities) -> Gaussians:
    """Some of their Gaussians, of degree 1, at an instant, with our axes."""
    levels = theirs.sh[shown].reshape(len(centers), 3, -1).swapaxes(1, 2)
    rest = (levels / 255 * 8 - 4) * np.array([-1, -1, 1])[:, None]
    arrays = (
        centers * AXES,
        np.roll(turns, 1, axis=1) * TURNED,
        np.log(theirs.scales[shown]),
        logit(np.clip(opacities, 1e-6, 1 - 1e-6)),
        np.concatenate([mean_harmonics(theirs.colors[shown, None, :3]), rest], 1),
    )
    return Gaussians(*(jax.device_put(np.float32(x)) for x in arrays))


def read_by_them(path, time: float) -> Gaussians:
    """The scene of a file at an instant in [0, 1], as the format's own library evaluates it."""
    read = fourdgs.read(str(path))
    state = read.gaussians.state_at(time * SECONDS, read.header.cutoff)
    state = [state[name] for name in ("indices", "centers", "orientations", "opacity")]
    return ours_of(read.gaussians, *state)


def test_another_library_sees_the_picture_of_a_glb(tmp_path, moving, picture, psnr):
    scene = moving(1).at(0.5)
    save_glb(tmp_path / "scene.glb", scene)
    theirs = fourdgs.from_gltf(str(tmp_path / "scene.glb")).gaussians
    state = theirs.positions, theirs.rotations, theirs.colors[:, 3]
    ours = picture(scene)
    assert ours.std() > 0.05
    assert psnr(picture(ours_of(theirs, slice(None), *state)), ours) > 45


def test_their_library_sees_the_same_picture(tmp_path, moving, picture, psnr):
    scene = moving(1)
    path = tmp_path / "scene.4dgs"
    save_4dgs(path, scene, seconds=SECONDS)
    report = validate(path.read_bytes())
    assert report.ok, report
    for time in (0.0, 0.3, 1.0):
        ours = picture(scene.at(time))
        assert ours.std() > 0.05
        assert psnr(picture(read_by_them(path, time)), ours) > 36
    assert psnr(picture(scene.at(0.0)), picture(scene.at(1.0))) < 25  # it moves


def test_what_a_file_cannot_hold_is_refused(tmp_path, moving, make_scene):
    scene = moving(0)
    gaussians = scene.gaussians
    far = scene._replace(gaussians=gaussians._replace(means=gaussians.means * 1e9))
    hidden = gaussians._replace(logit_opacities=jnp.full(600, -20.0))
    unseen = scene._replace(gaussians=hidden)
    for wrong, seconds in ((scene, 0), (make_scene(3), 1), (far, 1), (unseen, 1)):
        with pytest.raises(FormatError, match=r"a.4dgs: .+: found .+, expected"):
            save_4dgs(tmp_path / "a.4dgs", wrong, seconds=seconds)
    assert not list(tmp_path.iterdir())
