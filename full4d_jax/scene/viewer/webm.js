"use strict";
// A WebM file of encoded pictures: elements of an id, a length, and content (Matroska's EBML).

const text = (word) => [...word].map((letter) => letter.charCodeAt(0));

/** Returns the bytes of a whole number, the highest first, as few as hold it. */
function whole(number) {
  const bytes = [];
  do bytes.unshift(number % 256);
  while ((number = Math.floor(number / 256)));
  return bytes;
}

function double(number) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, number);
  return [...new Uint8Array(view.buffer)];
}

/** Returns an element as parts of a file; its content is bytes, or such parts. */
function ebml(id, ...content) {
  const parts = content.flat().every((x) => typeof x === "number")
    ? [new Uint8Array(content.flat())] : content.flat();
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const length = whole(size);
  while (length.length < 7) length.unshift(0);
  return [new Uint8Array([...whole(id), 1, ...length]), ...parts]; // 1: seven bytes of length follow
}

/**
 * Returns the file.
 *
 * @param chunks of { data, time (microseconds), key }, in order; the first is a key.
 */
function webm(chunks, { codec, width, height, fps }) {
  const head = ebml(0x1a45dfa3, ebml(0x4286, [1]), ebml(0x42f7, [1]), ebml(0x42f2, [4]),
    ebml(0x42f3, [8]), ebml(0x4282, text("webm")), ebml(0x4287, [4]), ebml(0x4285, [2]));
  const info = ebml(0x1549a966, ebml(0x2ad7b1, whole(1_000_000)), // a millisecond
    ebml(0x4489, double((1000 * chunks.length) / fps)),
    ebml(0x4d80, text("full4d")), ebml(0x5741, text("full4d")));
  const video = ebml(0xe0, ebml(0xb0, whole(width)), ebml(0xba, whole(height)));
  const tracks = ebml(0x1654ae6b, ebml(0xae, ebml(0xd7, [1]), ebml(0x73c5, [1]), ebml(0x83, [1]),
    ebml(0x86, text(codec)), ebml(0x23e383, whole(Math.round(1e9 / fps))), video));
  const clusters = [];
  for (const { data, time, key } of chunks) {
    const at = Math.round(time / 1000);
    if (key) clusters.push({ start: at, blocks: [] });
    const { start, blocks } = clusters.at(-1), since = at - start;
    const header = new Uint8Array([0x81, since >> 8, since & 255, key ? 0x80 : 0]);
    blocks.push(...ebml(0xa3, [header, data]));
  }
  const timed = clusters.flatMap(({ start, blocks }) =>
    ebml(0x1f43b675, ebml(0xe7, whole(start)), blocks));
  return new Blob([...head, ...ebml(0x18538067, info, tracks, timed)], { type: "video/webm" });
}
