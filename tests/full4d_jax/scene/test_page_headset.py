"""The page in a headset; as none was at hand, a stand-in for WebXR gives the page two eyes."""

import base64
import json

import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import cameras, drawn, random_scene, written

from full4d_jax.media.metrics import psnr
from full4d_jax.source.camera_paths import pivot_of
from gaussians import Camera
from input_pipeline.pinhole import orbit

WIDTH, HEIGHT = 160, 128  # of an eye's picture
# To left, right, up, down.
TANGENTS = {"left": (0.9, 0.7, 0.6, 0.8), "right": (0.7, 0.9, 0.6, 0.8)}
APART = {"left": -0.5, "right": 0.5}  # metres; wide, so that the eyes differ clearly
STAND_IN = """<script>
const device = { mode: "MODE", asked: null, steps: [] };
device.session = Object.assign(new EventTarget(), {
  updateRenderState({ baseLayer }) { device.layer = baseLayer; },
  requestReferenceSpace: async (kind) => kind,
  requestAnimationFrame(step) { device.steps.push(step); },
  end() { device.session.dispatchEvent(new Event("end")); },
});
WebGL2RenderingContext.prototype.makeXRCompatible = async () => {};
globalThis.XRWebGLLayer = class {
  constructor(session, gl) {
    this.framebuffer = gl.createFramebuffer();
    gl.activeTexture(gl.TEXTURE7);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, 2 * WIDTH, HEIGHT);
    const texture = gl.getParameter(gl.TEXTURE_BINDING_2D), { FRAMEBUFFER } = gl;
    gl.bindFramebuffer(FRAMEBUFFER, this.framebuffer);
    gl.framebufferTexture2D(FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  }
  getViewport({ eye }) {
    return { x: eye === "left" ? 0 : WIDTH, y: 0, width: WIDTH, height: HEIGHT };
  }
};
Object.defineProperty(navigator, "xr", { value: {
  isSessionSupported: async (mode) => mode === device.mode,
  requestSession: async (mode) => ((device.asked = mode), device.session),
} });
device.step = (now, head, views) => {
  const pose = { transform: { matrix: new Float32Array(head) }, views: views.map((view) => ({
    eye: view.eye, projectionMatrix: new Float32Array(view.projection),
    transform: { matrix: new Float32Array(view.matrix) } })) };
  for (const step of device.steps.splice(0)) step(now, { getViewerPose: () => pose });
};
device.pixels = () => {
  const { gl } = viewer.renderer, bytes = new Uint8Array(8 * WIDTH * HEIGHT);
  gl.bindFramebuffer(gl.FRAMEBUFFER, device.layer.framebuffer);
  gl.readPixels(0, 0, 2 * WIDTH, HEIGHT, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  return btoa([...bytes].map((x) => String.fromCharCode(x)).join(""));
};
</script>""".replace("WIDTH", str(WIDTH)).replace("HEIGHT", str(HEIGHT))


def head() -> np.ndarray:
    """From the head to the room (4 4), in WebXR's axes and metres: aside, and turned a little."""
    turned = np.eye(4)
    turned[:3, :3] = orbit(7.0, 4.0)[:3, :3]
    turned[:3, 3] = [0.2, 0.1, 0.3]
    return turned


def eye_in_room(eye: str) -> np.ndarray:
    moved = np.eye(4)
    moved[0, 3] = APART[eye]
    return head() @ moved


def projection(eye: str) -> np.ndarray:
    """OpenGL's matrix of a frustum (4 4)."""
    near, far = 0.1, 1000.0
    left, right, up, down = near * np.array(TANGENTS[eye])
    return np.array(
        [
            [2 * near / (right + left), 0, (right - left) / (right + left), 0],
            [0, 2 * near / (up + down), (up - down) / (up + down), 0],
            [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, -1, 0],
        ]
    )


def camera_of(eye: str, scale: float) -> Camera:
    """The camera of an eye; the source's camera is the world's."""
    flip = np.diag([1.0, -1, -1, 1])
    pose = flip @ eye_in_room(eye) @ flip
    pose[:3, 3] *= scale
    left, right, up, down = TANGENTS[eye]
    fx = WIDTH / (left + right)
    fy = HEIGHT / (up + down)
    lens = jnp.asarray([[fx, 0, fx * left], [0, fy, fy * up], [0, 0, 1]], jnp.float32)
    return Camera(jnp.asarray(np.linalg.inv(pose), jnp.float32), lens, WIDTH, HEIGHT)


def step(browser, now: float) -> None:
    """A picture of the headset, at a time in milliseconds."""
    views = [
        {
            "eye": eye,
            "matrix": eye_in_room(eye).T.ravel(),
            "projection": projection(eye).T.ravel(),
        }
        for eye in APART
    ]
    words = json.dumps([now, head().T.ravel(), views], default=np.ndarray.tolist)
    browser.script(f"device.step(...{words}); 0")


def pictures(browser) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the headset for the left and the right eye, (h, w, 3) in [0, 1]."""
    content = base64.b64decode(browser.script("device.pixels()"))
    both = (
        np.frombuffer(content, np.uint8).reshape(HEIGHT, 2 * WIDTH, 4)[::-1, :, :3]
        / 255
    )
    return both[:, :WIDTH], both[:, WIDTH:]


def test_each_eye_sees_what_render_draws_there(tmp_path, browser):
    scene = random_scene(2000)
    address = written(tmp_path, scene)
    page = (tmp_path / "scene.html").read_text()
    device = STAND_IN.replace("MODE", "immersive-vr")
    (tmp_path / "scene.html").write_text(page.replace("<body>", f"<body>{device}"))
    browser.open(f"{address}#time=0.5&paused")
    browser.wait("!document.getElementById('headset').hidden")
    browser.click("document.getElementById('headset')")
    browser.wait("viewer.headset.session")
    assert browser.script("device.asked") == "immersive-vr"
    scale = browser.script("viewer.headset.scale")
    # Two metres.
    assert scale == pytest.approx(pivot_of(cameras().world_to_camera)[2] / 2)
    step(browser, 0)  # asks for the order, which a worker makes
    browser.wait("viewer.sorting.spare && !viewer.sorting.waiting")
    step(browser, 10)
    left, right = pictures(browser)
    assert psnr(left, drawn(scene, 0.5, camera_of("left", scale))) > 40
    assert psnr(right, drawn(scene, 0.5, camera_of("right", scale))) > 40
    assert psnr(left, right) < 25
