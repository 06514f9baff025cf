"use strict";
// Keeps an order of the Gaussians at hand: the first is sorted in the page, so that the first
// picture is a whole one, the others beside it in a worker, which starts once that one is drawn.

class Sorting {
  /**
   * @param scene what the page holds.
   * @param here never start a worker, as for a page of one picture.
   * @param use called with every new order and how many of it to draw.
   */
  constructor(scene, here, use) {
    this.scene = scene;
    this.use = use;
    this.spare = this.room(); // null while the worker has it
    this.asked = null; // the last question
    this.lost = false; // the renderer no longer has its order
    this.time = 0; // of the order that is in use
    this.waiting = null; // the next, while the worker is busy
    this.here = here;
    this.sort = createSorter(scene);
    this.worker = null;
  }

  /** Returns an array for an order, in whole rows of its texture. */
  room() {
    return new Uint32Array(ROW * Math.ceil(this.scene.count / ROW));
  }

  startWorker() {
    try {
      const source = document.getElementById("sorter").textContent + "\nanswerQuestions();";
      const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      const worker = new Worker(address);
      worker.onmessage = ({ data }) => this.answer(data.order, data.drawn);
      worker.onerror = () => this.withoutWorker();
      worker.postMessage(this.scene);
      this.worker = worker;
      this.sort = null;
    } catch {
      this.here = true;
    }
  }

  /** Some browsers allow no workers in files, and some tell so late. */
  withoutWorker() {
    this.here = true;
    this.worker = null;
    this.sort = createSorter(this.scene);
    this.spare = this.room();
    this.answer(this.spare, this.sort(...this.asked, this.spare));
  }

  answer(order, drawn) {
    this.spare = order;
    this.take(order, drawn);
    if (this.waiting) this.ask(...this.waiting);
  }

  take(order, drawn) {
    this.time = this.asked[2];
    this.use(order, drawn);
  }

  /** Asks again, even if nothing moved: the renderer lost its order. */
  renew() {
    this.lost = true;
  }

  /** Asks for the order at a pose and a time. */
  ask(pose, time) {
    if (this.asked && !this.worker && !this.here) this.startWorker();
    this.waiting = this.spare ? null : [pose, time];
    const question = [pose.forward, -dot(pose.forward, pose.eye), time];
    if (!this.spare || (!this.lost && `${question}` === `${this.asked}`)) return;
    this.asked = question;
    this.lost = false;
    if (this.sort) {
      this.take(this.spare, this.sort(...question, this.spare));
    } else {
      const [forward, origin] = question;
      this.worker.postMessage({ forward, origin, time, order: this.spare }, [this.spare.buffer]);
      this.spare = null;
    }
  }
}
