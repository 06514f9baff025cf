"use strict";
// Where the picture is taken from: a view of the scene, and how far a person went away from it.
//
// A pose is an eye and three unit axes in world coordinates, right, down and forward as in OpenCV.
// A person turns around the pivot, a point on the view's axis; 0 degrees is the view itself.

const SWAY = [6, 1.5]; // degrees to the sides, up and down
const SWAY_SECONDS = 9;
const STEEPEST = 75; // degrees, where nothing else limits the orbit
const ELASTIC = 4; // degrees that the orbit gives way beyond its limit
const EDGE = 0.02; // share of a frame at each of its edges that is torn, and cut off where it can be
const CUT = 1.25; // factor by which a frame is taller than the window, to fill it to the sides
const MOVE_SECONDS = 0.7; // from one view to another

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const plus = (a, b, times = 1) => a.map((x, i) => x + times * b[i]);
const mix = (a, b, share) => a.map((x, i) => x + share * (b[i] - x));
const unit = (a) => a.map((x) => x / Math.hypot(...a));
const cross = ([a, b, c], [x, y, z]) => [b * z - c * y, c * x - a * z, a * y - b * x];
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const ease = (x) => x * x * (3 - 2 * x);

/** Returns an angle that has come less far beyond its range than it was drawn. */
function yielding(angle, low, high) {
  const beyond = Math.max(angle - high, low - angle, 0);
  const near = ELASTIC * (1 - Math.exp(-beyond / ELASTIC));
  return clamp(angle, low, high) + (angle > high ? near : -near);
}

/** Returns the inverse of `yielding`. */
function stretched(angle, low, high) {
  const beyond = Math.min(Math.max(angle - high, low - angle, 0), 0.99 * ELASTIC);
  const far = -ELASTIC * Math.log(1 - beyond / ELASTIC);
  return clamp(angle, low, high) + (angle > high ? far : -far);
}

/** Returns a value on its way to another, where it arrives. */
function approached(value, goal, seconds) {
  return Math.abs(goal - value) < 1e-4 ? goal : goal + (value - goal) * Math.exp(-seconds);
}

/**
 * Returns where a side of a frame begins in a window; it covers the window if it is long enough.
 *
 * @param room, length of the window's side and of the frame's, pixels.
 * @param middle share of the frame that is in the middle of the window.
 * @param turned from -1 to 1: how far the frame has slid from there to its beginning or end.
 */
function beginning(room, length, middle, turned) {
  const over = length - room, edge = Math.min(EDGE * length, over / 2);
  if (over <= 0) return -over / 2;
  const start = clamp(middle * length - room / 2, edge, over - edge);
  const end = turned < 0 ? edge : over - edge;
  return -(start + turned ** 2 * (end - start));
}

/** Returns a vector turned around a unit axis by an angle, by Rodrigues' formula. */
function turnedAround(vector, axis, angle) {
  const cosine = Math.cos(angle), along = (1 - cosine) * dot(axis, vector);
  const turning = plus(vector.map((x) => cosine * x), cross(axis, vector), Math.sin(angle));
  return plus(turning, axis, along);
}

/** Returns the pose of 12 numbers: the first three rows of world-to-camera. */
function poseOf(rows) {
  const [right, down, forward] = [0, 4, 8].map((i) => rows.slice(i, i + 3));
  const eye = [0, 1, 2].map((i) => -(right[i] * rows[3] + down[i] * rows[7] + forward[i] * rows[11]));
  return { eye, right, down, forward };
}

/** Returns a pose between two; a share of 0 gives the first. */
function poseBetween(a, b, share) {
  let forward = mix(a.forward, b.forward, share), down = mix(a.down, b.down, share);
  if (Math.min(Math.hypot(...forward), Math.hypot(...down)) < 0.1) return share < 0.5 ? a : b;
  forward = unit(forward);
  down = unit(plus(down, forward, -dot(down, forward)));
  return { eye: mix(a.eye, b.eye, share), right: cross(down, forward), down, forward };
}

class OrbitCamera {
  /**
   * @param settings of the page: views, pivot, up, limit, background, middle.
   * @param view the index of the first view.
   * @param still start without sway.
   */
  constructor(settings, view, still) {
    this.settings = settings;
    this.views = settings.views.map((each) => ({ ...each, poses: each.poses.map(poseOf) }));
    this.swaySeconds = still ? null : 0; // null when it does not sway
    this.held = false; // by a finger
    this.inner = 1 - 2 * EDGE; // share of a frame that has to fill the window
    this.show(view);
  }

  /** Goes to a view, and back to it when it is shown. */
  show(view) {
    this.from = this.shown && { ...this.shown, share: 0 };
    this.view = view;
    this.goal = { azimuth: 0, elevation: 0, zoom: 1, x: 0, y: 0, z: 0 };
    this.now = { ...this.goal };
  }

  /** How far each angle may go from the view: [lowest, highest] degrees. */
  range(name) {
    const i = name === "azimuth" ? 0 : 1, own = this.views[this.view].angles[i];
    const most = this.settings.limit ? this.settings.limit[i] : i ? STEEPEST : Infinity;
    return [Math.min(-most - own, 0), Math.max(most - own, 0)];
  }

  /** Turns around the pivot; beyond the limit the same change does less and less. */
  turn(azimuth, elevation) {
    for (const [name, change] of [["azimuth", azimuth], ["elevation", elevation]]) {
      const [low, high] = this.range(name);
      const free = stretched(this.goal[name], low, high) + change;
      this.goal[name] = yielding(free, low, high);
    }
  }

  zoom(factor) {
    const [nearest, farthest] = this.settings.zoom;
    this.goal.zoom = clamp(this.goal.zoom * factor, nearest, farthest);
  }

  /** Moves the pivot by pixels of the picture. */
  shift(right, down) {
    const { pose, lens, distance } = this.shown, view = this.base(this.time);
    const world = plus(pose.right.map((x) => (-right * x) / lens[0]), pose.down, -down / lens[1]);
    const far = 2 * distance;
    for (const [name, axis] of [["x", view.right], ["y", view.down], ["z", view.forward]]) {
      const moved = this.goal[name] + dot(world, axis) * distance * this.now.zoom;
      this.goal[name] = clamp(moved, -far, far);
    }
  }

  /** Ends the sway where it is, or begins it. */
  setSway(on) {
    if (on === (this.swaySeconds !== null)) return;
    const [azimuth, elevation] = this.swayed();
    for (const state of [this.now, this.goal]) {
      state.azimuth += azimuth;
      state.elevation += elevation;
    }
    this.swaySeconds = on ? 0 : null;
  }

  swayed() {
    if (this.swaySeconds === null) return [0, 0];
    const turn = (2 * Math.PI * this.swaySeconds) / SWAY_SECONDS;
    const begun = ease(Math.min(1, this.swaySeconds / 2));
    const most = this.settings.limit ?? SWAY;
    const [wide, high] = SWAY.map((angle, i) => begun * Math.min(angle, 0.5 * most[i]));
    return [wide * Math.sin(turn), high * Math.sin(2 * turn)];
  }

  /** Goes on by some seconds; returns whether the pose changes. */
  step(seconds) {
    const before = JSON.stringify([this.now, this.swaySeconds, this.from?.share]);
    if (this.swaySeconds !== null) this.swaySeconds += seconds;
    if (this.from) this.from.share += seconds / MOVE_SECONDS;
    if (this.from?.share >= 1) this.from = null;
    for (const name of Object.keys(this.goal)) {
      if (!this.held && (name === "azimuth" || name === "elevation")) {
        const inside = clamp(this.goal[name], ...this.range(name));
        this.goal[name] = approached(this.goal[name], inside, seconds / 0.12);
      }
      this.now[name] = approached(this.now[name], this.goal[name], seconds / 0.06);
    }
    return before !== JSON.stringify([this.now, this.swaySeconds, this.from?.share]);
  }

  /** Goes to the end of every movement. */
  finish() {
    this.from = null;
    this.now = { ...this.goal };
  }

  /** Returns a view's own pose at a time in [0, 1]. */
  base(time, view = this.view) {
    const { poses } = this.views[view], place = time * (poses.length - 1);
    const before = Math.min(Math.floor(place), Math.max(0, poses.length - 2));
    if (place === before) return poses[before];
    return poseBetween(poses[before], poses[before + 1], place - before);
  }

  /** Returns how far ahead of a pose the pivot lies. */
  distance({ eye, forward }) {
    return Math.max(dot(plus(this.settings.pivot, eye, -1), forward), this.settings.nearest);
  }

  /**
   * Returns the lens [fx, fy, cx, cy] for a picture of `size` pixels.
   *
   * Before a background the view's whole frame is seen, above the last `covered` rows. Without one
   * it fills the picture and slides to the side that a person turns to, so that both are seen.
   */
  lens(angles, size, covered) {
    const { lens, width, height, angles: own } = this.views[this.view];
    const { background, middle, limit } = this.settings, sides = [width, height];
    const room = background ? [size[0], size[1] - covered] : size;
    const [wide, high] = room.map((length, i) => length / sides[i]);
    const filling = Math.max(high, Math.min(wide, CUT * high)) / this.inner;
    const scale = background ? Math.min(wide, high) : filling;
    const corner = sides.map((side, i) => {
      const turned = limit ? clamp((own[i] + angles[i]) / limit[i], -1, 1) : 0;
      return beginning(room[i], scale * side, middle[i], i ? -turned : turned);
    });
    return lens.map((pixels, i) => scale * pixels + (i < 2 ? 0 : corner[i - 2]));
  }

  /** Returns pose and lens for a picture of `size` pixels, as in `lens`. */
  at(time, size, covered) {
    this.time = time;
    const base = this.base(time), distance = this.distance(base);
    const angles = plus([this.now.azimuth, this.now.elevation], this.swayed());
    const [a, e] = angles.map((angle) => (angle * Math.PI) / 180), { zoom, x, y, z } = this.now;
    const upright = [base.right, base.down, base.forward].map((axis) => dot(axis, this.settings.up));
    const forward = turnedAround([0, Math.sin(e), Math.cos(e)], upright, a);
    const right = turnedAround([1, 0, 0], upright, a);
    const center = plus([x, y, z + distance], forward, -distance * zoom);
    const world = (v) => plus(plus(base.right.map((r) => r * v[0]), base.down, v[1]), base.forward, v[2]);
    let pose = { eye: plus(base.eye, world(center)), right: world(right) };
    pose = { ...pose, down: world(cross(forward, right)), forward: world(forward) };
    let lens = this.lens(angles, size, covered);
    if (this.from) {
      const share = ease(this.from.share);
      pose = poseBetween(this.from.pose, pose, share);
      lens = mix(this.from.lens, lens, share);
    }
    this.shown = { pose, lens, distance };
    return this.shown;
  }
}
