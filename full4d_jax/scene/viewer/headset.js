"use strict";
// The scene in a headset (WebXR): each eye's picture in turn, while the time of the clip goes on.
// A person enters where the source's camera then stands, upright, and looks where it looks.

const METRES = 2; // from there to the pivot, as nothing tells the true size

/** Returns a pose turned around its eye until its down is the world's. */
function upright({ eye, right }, up) {
  const level = unit(plus(right, up, -dot(right, up))), down = up.map((v) => -v);
  return { eye, right: level, down, forward: cross(level, down) };
}

/**
 * Returns a pose of ours from one of WebXR, which has x right, y up and z backward.
 *
 * @param base the pose where WebXR's space begins.
 * @param matrix 16 numbers by columns, from what is posed to that space.
 * @param scale world units of a metre.
 */
function poseInRoom(base, matrix, scale) {
  const world = ([x, y, z]) => plus(plus(base.right.map((v) => v * x), base.down, -y), base.forward, -z);
  const [right, up, back, place] = [0, 4, 8, 12].map((i) => world([...matrix.slice(i, i + 3)]));
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
    const { viewer } = this, { camera, clock, renderer } = viewer;
    const session = await navigator.xr.requestSession("immersive-vr");
    this.session = session;
    session.addEventListener("end", () => {
      this.session = null;
      viewer.changed = true;
    });
    try {
      await renderer.gl.makeXRCompatible();
      const options = { alpha: false, antialias: false, depth: false };
      this.layer = new XRWebGLLayer(session, renderer.gl, options);
      session.updateRenderState({ baseLayer: this.layer });
      this.space = await session.requestReferenceSpace("local");
    } catch (error) {
      session.end();
      throw error;
    }
    const source = camera.base(clock.time, 0);
    this.base = upright(source, viewer.settings.up);
    this.scale = camera.distance(source) / METRES;
    this.last = null; // milliseconds, of the picture before
    session.requestAnimationFrame((now, frame) => this.draw(now, frame));
  }

  draw(now, frame) {
    if (!this.session) return;
    this.session.requestAnimationFrame((later, next) => this.draw(later, next));
    const { clock, sorting, sound, renderer, background } = this.viewer;
    clock.step((now - (this.last ?? now)) / 1000);
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
