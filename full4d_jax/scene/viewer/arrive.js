"use strict";
// What the page needs to read itself: bytes in its text, and then the rest of its program.

const UNSAFE = [0, 10, 13, 60]; // see page_bytes.py

/** Returns the bytes of all elements that are chosen, which leave the page. */
function bytesIn(chosen) {
  const parts = [...document.querySelectorAll(chosen)];
  const text = parts.map((part) => part.textContent).join("");
  for (const part of parts) part.remove();
  return bytesOf(text);
}

/** Returns the bytes of a text of page_bytes.py: 7 bits a character, or 14 with the next. */
function bytesOf(text) {
  const bytes = new Uint8Array(2 * text.length);
  let held = 0, bits = 0, length = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i), isPair = code > 127;
    held = (held << (isPair ? 14 : 7)) | (isPair ? (UNSAFE[(code >> 7) - 2] << 7) | (code & 127) : code);
    for (bits += isPair ? 14 : 7; bits >= 8; bits -= 8) bytes[length++] = held >> (bits - 8);
    held &= 127;
  }
  return bytes.subarray(0, length);
}

async function inflated(bytes) {
  if (!globalThis.DecompressionStream) throw new Error("This page needs a newer browser.");
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Adds the style, the controls, and then [id, text] of each script; these run in turn. */
async function arrive() {
  const { length } = document.querySelector("script.code").dataset;
  const program = await inflated(bytesIn("script.code").subarray(0, Number(length)));
  const { style, controls, scripts } = JSON.parse(new TextDecoder().decode(program));
  add("style", "", style);
  document.getElementById("loading").insertAdjacentHTML("afterend", controls);
  for (const [id, text] of scripts) add("script", id, text);
}

function add(name, id, text) {
  const added = document.createElement(name);
  if (id) added.id = id;
  if (/vert|frag/.test(id)) added.type = "x-shader";
  added.textContent = text;
  document.body.append(added);
}

arrive().catch((error) => {
  const failure = document.getElementById("failure");
  failure.textContent = error.message;
  failure.hidden = false;
  document.documentElement.dataset.state = "failed";
});
