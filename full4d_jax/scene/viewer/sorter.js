"use strict";
// Sorts Gaussians by depth at an instant, the farthest first. The text of this file becomes a
// worker (sorting.js); in a page of one still picture it works in the page itself.

/**
 * Returns a function that sorts; its arguments are the camera's forward axis and the depth of the
 * world's origin, the time in [0, 1], and an array for the order. It returns how many to draw.
 */
function createSorter({ records, instants, count, samples }) {
  const NEAR = 0.01;
  const FAINT = 0.5 / 255; // half of what is drawn, since an order is used a little later, too
  const HALVES = 20, WORDS = 10, BYTES = 40; // of a record, see packing.py
  const floats = new Float32Array(records), bytes = new Uint8Array(records);
  const centers = new Float32Array(3 * count), velocities = new Float32Array(3 * count);
  const moments = new Float32Array(count), rates = new Float32Array(count);
  const opacities = new Float32Array(count), gates = new Float32Array(count);
  const table = halfFloats(), halves = new Uint16Array(records);
  const bent = samples ? new Uint16Array(instants) : null;
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < 3; k++) {
      centers[3 * i + k] = floats[WORDS * i + k];
      velocities[3 * i + k] = table[halves[HALVES * i + 6 + k]];
    }
    moments[i] = table[halves[HALVES * i + 9]];
    rates[i] = Math.exp(-table[halves[HALVES * i + 13]]);
    opacities[i] = bytes[BYTES * i + 34] / 255;
    gates[i] = bytes[BYTES * i + 35] / 255;
  }
  const depths = new Float32Array(count), bits = new Uint32Array(depths.buffer);
  const ids = new Uint32Array(count), halfway = new Uint32Array(count);
  const low = new Uint32Array(65537), high = new Uint32Array(65537);

  function opacityAt(i, time) {
    const since = (time - moments[i]) * rates[i];
    return opacities[i] * (gates[i] + (1 - gates[i]) * Math.exp(-0.5 * since * since));
  }

  /** How far Gaussian i has gone along the axis since its record. */
  function shiftAt(i, time, [x, y, z]) {
    if (!samples) {
      const since = time - moments[i], at = 3 * i;
      return since * (x * velocities[at] + y * velocities[at + 1] + z * velocities[at + 2]);
    }
    const place = time * (samples - 1), before = Math.min(Math.floor(place), samples - 2);
    const share = place - before, at = 8 * (i * samples + before);
    const along = (j) => x * table[bent[j]] + y * table[bent[j + 1]] + z * table[bent[j + 2]];
    return (1 - share) * along(at) + share * along(at + 8);
  }

  return function sort(forward, origin, time, order) {
    const [x, y, z] = forward;
    let drawn = 0;
    low.fill(0);
    high.fill(0);
    for (let i = count - 1; i >= 0; i--) { // of two at one depth, the first is in front
      if (opacityAt(i, time) < FAINT) continue;
      const still = x * centers[3 * i] + y * centers[3 * i + 1] + z * centers[3 * i + 2];
      const depth = still + origin + shiftAt(i, time, forward);
      if (depth <= NEAR) continue;
      depths[drawn] = depth;
      // Positive floats are in the order of their bits; all inverted, the farthest comes first.
      const key = (bits[drawn] = ~bits[drawn]) >>> 0;
      ids[drawn++] = i;
      low[(key & 65535) + 1]++;
      high[(key >>> 16) + 1]++;
    }
    for (let i = 0; i < 65535; i++) {
      low[i + 1] += low[i];
      high[i + 1] += high[i];
    }
    // Two passes of 16 bits each, and each keeps the order of the one before.
    for (let i = 0; i < drawn; i++) halfway[low[bits[i] & 65535]++] = i;
    for (let i = 0; i < drawn; i++) {
      const j = halfway[i];
      order[high[bits[j] >>> 16]++] = ids[j];
    }
    return drawn;
  };
}

/** Returns the number that each pattern of 16 bits stands for; packing.py writes no infinities. */
function halfFloats() {
  const table = new Float32Array(65536);
  for (let i = 0; i < 65536; i++) {
    const exponent = (i >> 10) & 31, fraction = (i & 1023) / 1024;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction;
    table[i] = i >> 15 ? -size : size;
  }
  return table;
}

/** Makes a worker of this file: it takes a scene, then questions. */
function answerQuestions() {
  let sort;
  self.onmessage = ({ data }) => {
    if (data.records) {
      sort = createSorter(data);
      return;
    }
    const drawn = sort(data.forward, data.origin, data.time, data.order);
    self.postMessage({ order: data.order, drawn }, [data.order.buffer]);
  };
}
