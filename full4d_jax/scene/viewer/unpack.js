"use strict";
// The scene in the page: squeezing.py made it small, this makes it the records of packing.py again.

const RECORD_BYTES = 40;

/** Returns the scene of the page's settings, with records and instants as buffers. */
async function unpackScene(settings) {
  const { count, samples, packed } = settings.scene;
  const content = await inflated(textOfData());
  const columns = [];
  let place = 0;
  for (const [width, differs] of packed.columns) {
    columns.push(column(content, place, count, width, differs));
    place += width * count;
  }
  const perGaussian = 16 * samples, instants = new Uint8Array(count * perGaussian);
  for (let byte = 0; byte < perGaussian; byte++) {
    for (let i = 0; i < count; i++) instants[i * perGaussian + byte] = content[place++];
  }
  const records = recordsOf(columns, count, packed);
  return { ...settings.scene, records, instants: instants.buffer };
}

/** Returns the text of all parts of the data, which leave the page. */
function textOfData() {
  const parts = [...document.querySelectorAll("script.data")];
  const text = parts.map((part) => part.textContent.trim()).join("");
  for (const part of parts) part.remove();
  return text;
}

async function inflated(base64) {
  if (!globalThis.DecompressionStream) throw new Error("This page needs a newer browser.");
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Returns whole numbers from planes of bytes. */
function column(content, place, count, width, differs) {
  const numbers = new Int32Array(count);
  let last = 0;
  for (let i = 0; i < count; i++) {
    let code = 0;
    for (let byte = 0; byte < width; byte++) code |= content[place + byte * count + i] << (8 * byte);
    const number = (code >>> 1) ^ -(code & 1);
    numbers[i] = last = differs ? last + number : number;
  }
  return numbers;
}

function recordsOf(columns, count, { steps, origin, middle }) {
  const [gate, duration, x, y, z, vx, vy, vz, moment, sx, sy, sz, green, red, blue, opacity,
    largest, a, b, c] = columns;
  const buffer = new ArrayBuffer(RECORD_BYTES * count), floats = new Float32Array(buffer);
  const halves = new Uint16Array(buffer), bytes = new Uint8Array(buffer);
  const words = new Uint32Array(buffer), rotation = 1023 / steps.rotation;
  for (let i = 0; i < count; i++) {
    const isAlways = gate[i] * steps.gate === 255, half = 20 * i, byte = RECORD_BYTES * i;
    const shift = isAlways ? 0 : clamp(Math.floor((duration[i] + 16) / 7) + 1, -4, 0);
    const velocity = 2 * steps.position * 2 ** -shift;
    [x, y, z].forEach((each, k) => (floats[10 * i + k] = origin[k] + steps.position * each[i]));
    [vx, vy, vz].forEach((each, k) => (halves[half + 6 + k] = toHalf(velocity * each[i])));
    halves[half + 9] = toHalf(isAlways ? middle : steps.moment * moment[i]);
    [sx, sy, sz].forEach((each, k) => (halves[half + 10 + k] = toHalf(steps.logScale * each[i])));
    halves[half + 13] = toHalf(steps.logDuration * duration[i]);
    const colors = [green[i] + red[i], green[i], green[i] + blue[i]];
    colors.forEach((each, k) => (halves[half + 14 + k] = toHalf(steps.color * each)));
    bytes[byte + 34] = Math.min(255, steps.opacity * opacity[i]);
    bytes[byte + 35] = Math.min(255, steps.gate * gate[i]);
    const three = [a, b, c].map((each) => Math.round(rotation * each[i]));
    words[10 * i + 9] = three[0] | (three[1] << 10) | (three[2] << 20) | (largest[i] << 30);
  }
  return buffer;
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
