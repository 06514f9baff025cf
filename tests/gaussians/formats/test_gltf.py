"""`.glb` files with KHR_gaussian_splatting: the structure is what another library reads."""

import fourdgs
import jax.numpy as jnp
import numpy as np

from gaussians.formats.gltf import save_glb
from gaussians.formats.scene_files import logit, mean_harmonics
from gaussians.types import Gaussians


def test_another_library_sees_the_same_picture(tmp_path, moving, picture, psnr):
    scene = moving(1).at(0.5)
    save_glb(tmp_path / "scene.glb", scene)
    theirs = fourdgs.from_gltf(str(tmp_path / "scene.glb")).gaussians
    harmonics = mean_harmonics(theirs.colors[:, None, :3])
    if theirs.sh is not None:
        levels = theirs.sh.reshape(theirs.count, 3, -1).swapaxes(1, 2)
        rest = (levels / 255 * 8 - 4) * np.array([-1, -1, 1])[:, None]
        harmonics = np.concatenate([harmonics, rest], 1)
    arrays = (
        theirs.positions * [1, -1, -1],
        np.roll(theirs.rotations, 1, axis=1) * [1, 1, -1, -1],
        np.log(theirs.scales),
        logit(np.clip(theirs.colors[:, 3], 1e-6, 1 - 1e-6)),
        harmonics,
    )
    read = Gaussians(*(jnp.asarray(x, jnp.float32) for x in arrays))
    ours = picture(scene)
    assert ours.std() > 0.05
    assert psnr(picture(read), ours) > 45
