"use strict";
// The scene in the page: squeezing.py made it small, this makes it the records of packing.py again.

const RECORD_BYTES = 40;
const HARMONIC_BYTES = 12; // nine, and three to fill words
const TURNS = 4; // of a shape's axes, after which its matrix is diagonal
const LEAST_MIX = 0.01; // of a logarithm, a twentieth of a step

/** Returns the scene of the page's settings, with records, instants and harmonics as buffers. */
async function unpackScene(settings) {
  const { count, samples, harmonic, parts, length } = settings.scene;
  const content = await inflated(bytesIn("script.data").subarray(0, length));
  const records = new ArrayBuffer(RECORD_BYTES * count);
  const reader = new Reader(content);
  let first = 0;
  for (const part of parts) {
    unpackPart(part, reader, first, records);
    first += part.count;
  }
  let { place } = reader;
  const perGaussian = 16 * samples, instants = new Uint8Array(count * perGaussian);
  for (let byte = 0; byte < perGaussian; byte++) {
    for (let i = 0; i < count; i++) instants[i * perGaussian + byte] = content[place++];
  }
  const harmonics = new Uint8Array(harmonic ? HARMONIC_BYTES * count : 4);
  for (let k = 0; harmonic && k < 9; k++) {
    for (let i = 0; i < count; i++) harmonics[HARMONIC_BYTES * i + k] = content[place++];
  }
  const buffers = { records, instants: instants.buffer, harmonics: harmonics.buffer };
  return { count, samples, harmonic, still: settings.scene.still, ...buffers };
}

/** Reads the columns of squeezing.py one after the other. */
class Reader {
  constructor(content) {
    Object.assign(this, { content, place: 0 });
  }

  /** Returns the numbers of a column. */
  column(count, [window, width]) {
    const codes = new Float64Array(count);
    for (let byte = 0, unit = 1; byte < width; byte++, unit *= 256) {
      for (let i = 0; i < count; i++) codes[i] += unit * this.content[this.place++];
    }
    const numbers = codes.map((code) => (code % 2 ? -(code + 1) / 2 : code / 2));
    return afterMeans(numbers, window);
  }
}

/** Returns numbers from what they differ by from the mean of as many before them. */
function afterMeans(differences, window) {
  const numbers = differences.slice();
  for (let i = 0, sum = 0; window && i < numbers.length; i++) {
    numbers[i] += Math.floor((sum + window / 2) / window);
    sum += numbers[i] - (i < window ? 0 : numbers[i - window]);
  }
  return numbers;
}

/** Writes the records of a part, from the `first` on. */
function unpackPart(part, reader, first, buffer) {
  const { count, always, origin, steps } = part;
  const columns = part.columns.map((described) => reader.column(count, described));
  const [gaps] = columns; // then three of velocities
  const [gates, durations, moments] = always ? [] : columns.slice(4, 7);
  const [size, ...rest] = columns.slice(always ? 4 : 7);
  const shapes = rest.slice(0, 5), [luma, orange, green, opacity] = rest.slice(5);
  const floats = new Float32Array(buffer), halves = new Uint16Array(buffer);
  const bytes = new Uint8Array(buffer), words = new Uint32Array(buffer);
  const shape = [0, 0, 0, 0, 0];
  let along = 0;
  for (let i = 0; i < count; i++) {
    along += gaps[i];
    const n = first + i, half = 20 * n, byte = RECORD_BYTES * n;
    const cell = cellOf(along);
    for (let k = 0; k < 3; k++) floats[10 * n + k] = origin[k] + steps.position * cell[k];
    const duration = always ? 0 : steps.logDuration * durations[i];
    const velocity = steps.velocity / (always ? 1 : Math.min(Math.exp(duration), 0.5));
    for (let k = 0; k < 3; k++) halves[half + 6 + k] = toHalf(velocity * columns[1 + k][i]);
    halves[half + 9] = toHalf(always ? 0.5 : steps.moment * moments[i]);
    for (let k = 0; k < 5; k++) shape[k] = steps.shape * shapes[k][i];
    const { logScales, rotation } = ellipsoid(steps.size * size[i], shape);
    for (let k = 0; k < 3; k++) halves[half + 10 + k] = toHalf(logScales[k]);
    halves[half + 13] = toHalf(duration);
    const y = steps.luma * luma[i], co = steps.chroma * orange[i], cg = steps.chroma * green[i];
    halves[half + 14] = toHalf(Math.max(y + (co - cg) / 2, 0));
    halves[half + 15] = toHalf(Math.max(y + cg / 2, 0));
    halves[half + 16] = toHalf(Math.max(y - (co + cg) / 2, 0));
    bytes[byte + 34] = Math.min(255, steps.opacity * opacity[i]);
    bytes[byte + 35] = always ? 255 : Math.min(255, steps.gate * gates[i]);
    words[10 * n + 9] = rotation;
  }
}

/** Returns the three whole numbers whose bits follow each other in turn along Morton's curve. */
function cellOf(along) {
  const cell = [0, 0, 0], low = along % 2 ** 27, high = (along - low) / 2 ** 27;
  for (let k = 0; k < 9; k++) {
    for (let axis = 0; axis < 3; axis++) {
      const place = 3 * k + 2 - axis;
      cell[axis] |= (((low >> place) & 1) << k) | (((high >> place) & 1) << (k + 9));
    }
  }
  return cell;
}

/** Returns the axes' log-scales and packed rotation of a shape's logarithm, by Jacobi's turns. */
function ellipsoid(mean, [a, b, xy, xz, yz]) {
  const low = mean - b / 3;
  const m = [[low + a / 2, xy, xz], [xy, low - a / 2, yz], [xz, yz, mean + (2 * b) / 3]];
  let q = [1, 0, 0, 0];
  for (let turn = 0; turn < TURNS; turn++) {
    for (let k = 0; k < 3; k++) {
      const i = (k + 1) % 3, j = (k + 2) % 3;
      if (Math.abs(m[i][j]) < LEAST_MIX) continue;
      const angle = 0.5 * Math.atan((2 * m[i][j]) / (m[i][i] - m[j][j])), c = Math.cos(angle), s = Math.sin(angle);
      const [ii, jj, ij, ik, jk] = [m[i][i], m[j][j], m[i][j], m[i][k], m[j][k]];
      m[i][i] = c * c * ii + 2 * s * c * ij + s * s * jj;
      m[j][j] = s * s * ii - 2 * s * c * ij + c * c * jj;
      m[i][j] = m[j][i] = 0;
      m[i][k] = m[k][i] = c * ik + s * jk;
      m[j][k] = m[k][j] = c * jk - s * ik;
      q = turned(q, k, Math.cos(angle / 2), Math.sin(angle / 2));
    }
  }
  return { logScales: [m[0][0], m[1][1], m[2][2]], rotation: packRotation(q) };
}

/** Returns a quaternion followed, in the body's own axes, by a turn around one of them. */
function turned([w, x, y, z], axis, c, s) {
  if (axis === 0) return [c * w - s * x, c * x + s * w, c * y + s * z, c * z - s * y];
  if (axis === 1) return [c * w - s * y, c * x - s * z, c * y + s * w, c * z + s * x];
  return [c * w - s * z, c * x + s * y, c * y - s * x, c * z + s * w];
}

/** Returns the 32 bits of `pack_rotations` in packing.py. */
function packRotation(q) {
  let largest = 0;
  for (let i = 1; i < 4; i++) if (Math.abs(q[i]) > Math.abs(q[largest])) largest = i;
  const scale = (Math.sign(q[largest]) * Math.SQRT2) / Math.hypot(...q);
  let word = largest << 30, place = 0;
  for (let i = 0; i < 4; i++) {
    if (i === largest) continue;
    word |= clamp(Math.round((scale * q[i] + 1) * 511.5), 0, 1023) << place;
    place += 10;
  }
  return word;
}

const single = new Float32Array(1), pattern = new Uint32Array(single.buffer);

/** Returns the 16 bits of a half that is nearest to a number; what is too large is the largest. */
function toHalf(number) {
  single[0] = number;
  const bits = pattern[0], sign = (bits >>> 16) & 0x8000, fraction = bits & 0x7fffff;
  const exponent = ((bits >>> 23) & 255) - 112;
  if (exponent >= 31) return sign | 0x7bff;
  if (exponent <= 0) return exponent < -10 ? sign : sign | ((fraction | 0x800000) >> (14 - exponent));
  return Math.min(sign + (exponent << 10) + (fraction >> 13) + ((fraction >> 12) & 1), sign | 0x7bff);
}
