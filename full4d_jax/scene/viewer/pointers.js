"use strict";
// Mouse, pen and fingers on the picture: one turns the camera, two move it and pinch, the wheel
// goes nearer and farther.

const TURN = 150; // degrees for a drag along the shorter side of the window

class Pointers {
  /**
   * @param canvas the picture.
   * @param camera what they move.
   * @param touched called at every input.
   */
  constructor(canvas, camera, touched) {
    this.canvas = canvas;
    this.camera = camera;
    this.touched = touched;
    this.down = new Map(); // where each pointer is, by its number
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.release(event));
    }
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, [event.clientX, event.clientY]);
    this.camera.held = true;
    this.canvas.classList.add("held");
    this.touched();
  }

  move(event) {
    const before = this.down.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY], [right, down] = plus(now, before, -1);
    const moves = event.shiftKey || event.buttons & 6; // right and middle button
    if (this.down.size === 2) {
      this.pinch(event.pointerId, before, now);
    } else if (moves) {
      this.shift(right, down);
    } else {
      const scale = TURN / Math.min(innerWidth, innerHeight);
      this.camera.turn(-right * scale, down * scale);
    }
    this.down.set(event.pointerId, now);
    this.touched();
  }

  /** One of two fingers moves: their middle goes half as far. */
  pinch(id, before, now) {
    const [other] = [...this.down].filter(([key]) => key !== id).map(([, place]) => place);
    const apart = (place) => Math.max(1, Math.hypot(...plus(place, other, -1)));
    this.camera.zoom(apart(before) / apart(now));
    this.shift((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  }

  shift(right, down) {
    const scale = this.canvas.width / this.canvas.clientWidth;
    this.camera.shift(right * scale, down * scale);
  }

  release(event) {
    this.down.delete(event.pointerId);
    this.camera.held = this.down.size > 0;
    this.canvas.classList.toggle("held", this.camera.held);
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode ? 16 : 1; // pixels
    this.camera.zoom(Math.exp(event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0012)));
    this.touched();
  }
}
