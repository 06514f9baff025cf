"use strict";
// The scene in a headset (WebXR): each eye's picture in turn, while the time of the clip goes on.
// Where the headset starts is the source's camera, as it stands when a person enters.

const METRES = 2; // from there to the middle of all Gaussians' depths

/** Returns the middle of the depths of a scene's Gaussians in front of a pose, 1 where none is. */
function medianDepth({ records, count }, { eye, forward }) {
  const floats = new Float32Array(records), words = floats.length / count, depths = new Float32Array(count);
  let before = 0;
  for (let i = 0, at = 0; i < count; i++, at += words) {
    const depth = dot(forward, [floats[at] - eye[0], floats[at + 1] - eye[1], floats[at + 2] - eye[2]]);
    if (depth > 0) depths[before++] = depth;
  }
  return before ? depths.subarray(0, before).sort()[before >> 1] : 1;
}

/**
 * Returns a pose of ours from one of WebXR, which has x right, y up and z backward.
 *
 * @param base the pose where WebXR's space begins.
 * @param matrix 16 numbers by columns, from what is posed to that space.
 * @param scale world units of a metre.
 */
function poseInRoom(base, matrix, scale) {
  const column = (i) => [...matrix.slice(4 * i, 4 * i + 3)];
  const world = ([x, y, z]) => plus(plus(base.right.map((v) => v * x), base.down, -y), base.forward, -z);
  const [right, up, back, place] = [0, 1, 2, 3].map((i) => world(column(i)));
  return { eye: plus(base.eye, place, scale), right, down: up.map((v) => -v), forward: back.map((v) => -v) };
}

/** Returns the lens [fx, fy, cx, cy] of a projection, 16 numbers by columns, for a picture's size. */
function lensOf(matrix, width, height) {
  const [w, h] = [width / 2, height / 2];
  return [matrix[0] * w, matrix[5] * h, (1 - matrix[8]) * w, (1 + matrix[9]) * h];
}

class Headset {
  /** @param viewer whose scene and clock it shows. */
  constructor(viewer) {
    this.viewer = viewer;
    this.session = null; // while a person is inside
  }

  /** Returns whether there is a headset to enter. */
  async canEnter() {
    return Boolean(await navigator.xr?.isSessionSupported("immersive-vr").catch(() => false));
  }

  async enter() {
    const { viewer } = this, { gl } = viewer.renderer;
    const session = await navigator.xr.requestSession("immersive-vr");
    session.addEventListener("end", () => {
      this.session = null;
      viewer.changed = true;
    });
    try {
      await gl.makeXRCompatible();
      this.layer = new XRWebGLLayer(session, gl, { alpha: false, antialias: false, depth: false });
      session.updateRenderState({ baseLayer: this.layer });
      this.space = await session.requestReferenceSpace("local");
    } catch (error) {
      session.end();
      throw error;
    }
    this.base = viewer.camera.base(viewer.clock.time, 0);
    this.scale = medianDepth(viewer.scene, this.base) / METRES;
    this.last = null; // milliseconds, of the picture before
    this.session = session;
    session.requestAnimationFrame((now, frame) => this.draw(now, frame));
  }

  draw(now, frame) {
    if (!this.session) return;
    this.session.requestAnimationFrame((later, next) => this.draw(later, next));
    const { clock, sorting, sound, renderer, background } = this.viewer;
    clock.step(Math.max(0, now - (this.last ?? now)) / 1000);
    this.last = now;
    sound.follow(clock);
    const head = frame.getViewerPose(this.space);
    if (!head) return; // the headset does not know where it is
    sorting.ask(poseInRoom(this.base, head.transform.matrix, this.scale), clock.time);
    for (const view of head.views) {
      const place = this.layer.getViewport(view);
      const lens = lensOf(view.projectionMatrix, place.width, place.height);
      const pose = poseInRoom(this.base, view.transform.matrix, this.scale);
      renderer.draw(pose, lens, sorting.time, background, this.layer.framebuffer, place);
    }
  }
}
