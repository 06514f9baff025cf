"use strict";
// The page: a scene, a clock, a camera, and a picture that follows them.
//
// The address may ask for something else than the start, as in scene.html#time=0.5&view=1&paused:
// time, view, azimuth, elevation (degrees), zoom, shift (three numbers), paused, background (six hexadecimal digits), and
// width and height of the picture in pixels, which are then drawn however slow the device is. With
// `still` the page is one picture, which also stands as a PNG in <html data-picture>.

const MOST_SCALE = 2; // more pixels than these cost time and are hardly seen
const SLOW = 1 / 24; // seconds between pictures that are too many
const LEAST_QUALITY = 0.5;
const FIRST_QUALITY = 1 / 3; // of the first picture, for devices that draw in software
const asked = new URLSearchParams(location.hash.slice(1));

class Viewer {
  /** @param settings what the page holds beside the scene. */
  constructor(settings, scene) {
    this.settings = settings;
    this.scene = scene;
    this.canvas = element("picture");
    this.still = asked.has("still");
    this.background = this.settings.background;
    if (asked.has("background")) {
      const digits = asked.get("background").match(/[0-9a-f]{2}/gi) ?? [];
      this.background = [0, 1, 2].map((i) => parseInt(digits[i] ?? "0", 16) / 255);
    }
    this.timeStep = 1 / Math.max(24, this.settings.frames - 1);
    this.changed = true;
    this.rate = 0;
    this.filming = false; // while a film needs the canvas
    this.quality = 1; // share of the pixels along a side that are drawn while something moves
    this.first = true; // nothing was drawn yet
    this.pause = 1 / 60; // seconds between pictures, on average
    this.rested = 0; // seconds since something moved
    this.renderer = new Renderer(this.canvas, this.scene, this.still);
    this.sorting = new Sorting(this.scene, this.still, (order, drawn) => {
      this.renderer.setOrder(order, drawn);
      this.changed = true;
    });
    this.sound = new Sound();
    this.reset(true);
    if (this.still) this.drawStill();
    else this.begin();
  }

  /** Goes to the start: the source's camera, the first instant, or what the address asks for. */
  reset(first = false) {
    const number = (name, otherwise) => Number(asked.get(name)) || otherwise;
    const view = clamp(Math.round(number("view", 0)), 0, this.settings.views.length - 1);
    if (first) {
      const calm = this.still || matchMedia("(prefers-reduced-motion: reduce)").matches;
      const placed = ["view", "azimuth", "elevation", "zoom", "paused"].some((x) => asked.has(x));
      this.camera = new OrbitCamera(this.settings, view, calm || placed);
      this.clock = new Clock(this.settings.seconds);
      this.clock.playing = !(this.still || asked.has("paused") || this.scene.still);
    }
    this.camera.show(view);
    this.camera.goal.azimuth = number("azimuth", 0);
    this.camera.goal.elevation = number("elevation", 0);
    this.camera.zoom(number("zoom", 1));
    const [x = 0, y = 0, z = 0] = (asked.get("shift") ?? "").split(",").map((part) => Number(part) || 0);
    Object.assign(this.camera.goal, { x, y, z });
    if (first) this.camera.finish();
    this.clock.time = clamp(number("time", 0), 0, 1);
    this.clock.direction = 1;
    this.changed = true;
  }

  /** Returns what stands in an address after "#" to come back to this view and time, at rest. */
  fragment() {
    const { view, goal } = this.camera, short = (number) => Number(number.toFixed(4));
    const parts = [`time=${short(this.clock.time)}`, `view=${view}`];
    for (const name of ["azimuth", "elevation", "zoom"]) parts.push(`${name}=${short(goal[name])}`);
    const shift = [goal.x, goal.y, goal.z].map(short);
    if (shift.some(Boolean)) parts.push(`shift=${shift}`);
    if (asked.has("background")) parts.push(`background=${asked.get("background")}`);
    return [...parts, "paused"].join("&");
  }

  /** A person did something. */
  touched() {
    this.camera.setSway(false);
    element("hint").classList.add("gone");
    this.buttons.touchedAt = performance.now();
    this.changed = true;
  }

  begin() {
    this.headset = new Headset(this);
    this.buttons = new Buttons(this);
    this.pointers = new Pointers(this.canvas, this.camera, () => this.touched());
    addEventListener("resize", () => (this.changed = true));
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.renderer.start();
      this.sorting.renew();
      this.changed = true;
    });
    this.last = performance.now();
    this.counted = { since: this.last, pictures: 0 };
    requestAnimationFrame((now) => this.loop(now));
    document.documentElement.dataset.state = "ready";
  }

  loop(now) {
    requestAnimationFrame((later) => this.loop(later));
    const seconds = Math.max(0, now - this.last) / 1000;
    this.last = now;
    if (this.headset.session) return; // which draws itself
    if (this.filming) {
      this.sound.rest();
      this.buttons.update(now);
      return;
    }
    const moved = [this.clock.step(seconds), this.camera.step(Math.min(seconds, 0.1))];
    this.sound.follow(this.clock);
    this.adapt(seconds, moved.some(Boolean));
    if (moved.some(Boolean) || this.changed) this.draw();
    this.buttons.update(now);
    if (now - this.counted.since > 1000) {
      this.rate = (1000 * this.counted.pictures) / (now - this.counted.since);
      this.counted = { since: now, pictures: 0 };
      document.documentElement.dataset.fps = this.rate.toFixed(1);
    }
  }

  /** Draws fewer pixels while the device is too slow for all, and all of them once all rests. */
  adapt(seconds, moved) {
    if (asked.has("height")) return;
    if (moved && !this.rested) this.pause += 0.15 * (Math.min(seconds, 1) - this.pause);
    if (moved && this.pause > SLOW && this.quality > LEAST_QUALITY) {
      this.quality *= 0.8;
      this.pause = SLOW / 2; // until the change has shown what it does
    }
    const before = this.rested;
    this.rested = moved ? 0 : before + seconds;
    if (before <= 0.4 && this.rested > 0.4 && this.quality < 1) this.changed = true;
  }

  draw() {
    const { canvas } = this, bar = element("bar").getBoundingClientRect();
    const fine = Math.min(devicePixelRatio || 1, MOST_SCALE);
    const share = this.rested > 0.4 ? 1 : this.quality;
    const isCoarse = this.first && !asked.has("width");
    let scale = fine * (isCoarse ? FIRST_QUALITY : share);
    if (asked.has("height")) scale = Number(asked.get("height")) / canvas.clientHeight;
    const width = Number(asked.get("width")) || canvas.clientWidth * scale;
    this.fit(width, canvas.clientHeight * scale);
    const covered = (canvas.clientHeight - bar.top + 8) * scale;
    const size = [canvas.width, canvas.height];
    this.changed = this.first; // a slow device shows a coarse picture first, and then a whole one
    this.first = false;
    this.sorting.ask(this.camera.at(this.clock.time, size, covered).pose, this.clock.time);
    // In the order of another time whoever moves falls apart: on a slow device the picture waits.
    const { time } = this.sorting;
    const { pose, lens } = this.camera.at(time, size, covered);
    this.renderer.draw(pose, lens, time, this.background);
    this.counted.pictures++;
  }

  /** Draws one picture; all of it happens before the page counts as loaded. */
  drawStill() {
    const first = this.settings.views[this.camera.view];
    const size = ["width", "height"].map((name) => Number(asked.get(name)) || first[name]);
    for (const part of ["bar", "hint", "views"]) element(part).hidden = true;
    this.fit(...size);
    Object.assign(this.canvas.style, { width: `${size[0]}px`, height: `${size[1]}px` });
    this.camera.inner = 1; // the whole frame
    const { pose, lens } = this.camera.at(this.clock.time, size, 0);
    this.sorting.ask(pose, this.clock.time);
    this.renderer.draw(pose, lens, this.clock.time, this.background);
    const about = document.documentElement.dataset;
    about.picture = this.canvas.toDataURL("image/png");
    about.state = "ready";
  }

  fit(width, height) {
    const size = [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))];
    if (this.canvas.width !== size[0]) this.canvas.width = size[0];
    if (this.canvas.height !== size[1]) this.canvas.height = size[1];
  }
}

addEventListener("hashchange", () => location.reload());
let viewer;

async function open() {
  try {
    const settings = JSON.parse(element("settings").textContent);
    viewer = new Viewer(settings, await unpackScene(settings));
  } catch (error) {
    element("failure").textContent = error.message;
    element("failure").hidden = false;
    document.documentElement.dataset.state = "failed";
    throw error;
  } finally {
    element("loading").hidden = true;
  }
}

open();
