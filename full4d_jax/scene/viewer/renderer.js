"use strict";
// Draws the sorted Gaussians, the farthest first, into a picture of 16-bit floats where the device
// has them, since hundreds of roundings to 8 bits would be seen; then shows it over a background.

const BATCH = 256; // Gaussians that are drawn as one instance; one each would cost more than it draws
const ROW = 2048; // Gaussians in a row of the texture of the order

class Renderer {
  /**
   * @param canvas where to draw.
   * @param scene what the page holds.
   * @param keep keep the picture after it was shown, to be read.
   */
  constructor(canvas, scene, keep) {
    const options = { alpha: false, antialias: false, depth: false, preserveDrawingBuffer: keep };
    const gl = canvas.getContext("webgl2", { ...options, powerPreference: "high-performance" });
    if (!gl) throw new Error("This page needs WebGL 2, which this browser does not offer.");
    this.canvas = canvas;
    this.gl = gl;
    this.scene = scene;
    this.start();
  }

  /** Makes everything that lives on the device; again, after the device was lost. */
  start() {
    const gl = this.gl, { scene } = this;
    const floats = ["EXT_color_buffer_float", "EXT_color_buffer_half_float"];
    const precise = floats.map((name) => gl.getExtension(name)).some(Boolean);
    this.format = precise ? [gl.RGBA16F, gl.HALF_FLOAT] : [gl.RGBA8, gl.UNSIGNED_BYTE];
    this.splats = program(gl, "splats.vert", "splats.frag");
    this.present = program(gl, "present.vert", "present.frag");

    const longest = Math.min(gl.getParameter(gl.MAX_TEXTURE_SIZE), 4096);
    this.perRow = Math.floor(longest / 5);
    const records = new Uint32Array(scene.records), instants = new Uint32Array(scene.instants);
    upload(gl, 0, gl.RG32UI, gl.RG_INTEGER, 2, 5 * this.perRow, records);
    upload(gl, 1, gl.RGBA32UI, gl.RGBA_INTEGER, 4, longest, instants);
    const harmonics = new Uint32Array(scene.harmonics);
    upload(gl, 4, gl.R32UI, gl.RED_INTEGER, 1, 3 * this.perRow, harmonics);
    gl.activeTexture(gl.TEXTURE2);
    this.picture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.picture);
    this.frame = gl.createFramebuffer();
    this.size = [0, 0];

    this.drawn = 0;
    upload(gl, 3, gl.R32UI, gl.RED_INTEGER, 1, ROW, new Uint32Array(scene.count));
    const corners = new Uint16Array(6 * BATCH);
    for (let i = 0; i < BATCH; i++) {
      corners.set([0, 1, 2, 2, 1, 3].map((corner) => 4 * i + corner), 6 * i);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, corners, gl.STATIC_DRAW);
  }

  /** Takes an order, of which the first `drawn` are drawn; its length is a multiple of `ROW`. */
  setOrder(order, drawn) {
    const gl = this.gl, rows = Math.ceil(drawn / ROW);
    gl.activeTexture(gl.TEXTURE3);
    const [format, type] = [gl.RED_INTEGER, gl.UNSIGNED_INT];
    if (rows) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ROW, rows, format, type, order);
    this.drawn = drawn;
  }

  /**
   * Draws the scene.
   *
   * @param lens [fx, fy, cx, cy] in pixels of the canvas.
   * @param background the colour behind it; null puts the blurred picture there.
   * @param target the framebuffer that the picture is shown in; null is the canvas.
   * @param place where in it: x and y of its lower left corner, width and height in pixels.
   */
  draw(pose, lens, time, background, target = null, place = rectangleOf(this.canvas)) {
    const gl = this.gl, { x, y, width, height } = place;
    this.resize(width, height);
    gl.viewport(0, 0, width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);

    const at = this.splats;
    gl.useProgram(at.program);
    gl.uniform1i(at.place("records"), 0);
    gl.uniform1i(at.place("instants"), 1);
    gl.uniform1i(at.place("order"), 3);
    gl.uniform1i(at.place("harmonics"), 4);
    gl.uniform1f(at.place("harmonic"), this.scene.harmonic);
    gl.uniform1i(at.place("drawn"), this.drawn);
    gl.uniform1i(at.place("batch"), BATCH);
    gl.uniform1i(at.place("perRow"), this.perRow);
    gl.uniform1i(at.place("samples"), this.scene.samples);
    gl.uniform1f(at.place("time"), time);
    const rows = [...pose.right, ...pose.down, ...pose.forward];
    gl.uniformMatrix3fv(at.place("rotation"), true, rows);
    gl.uniform3fv(at.place("eye"), pose.eye);
    gl.uniform2f(at.place("focal"), lens[0], lens[1]);
    gl.uniform2f(at.place("principal"), lens[2], lens[3]);
    gl.uniform2f(at.place("size"), width, height);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const batches = Math.ceil(this.drawn / BATCH);
    gl.drawElementsInstanced(gl.TRIANGLES, 6 * BATCH, gl.UNSIGNED_SHORT, 0, batches);
    gl.disable(gl.BLEND);

    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.viewport(x, y, width, height);
    gl.useProgram(this.present.program);
    gl.uniform2f(this.present.place("corner"), x, y);
    gl.uniform1i(this.present.place("picture"), 2);
    gl.activeTexture(gl.TEXTURE2);
    gl.texParameteri(
      gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, background ? gl.NEAREST : gl.LINEAR_MIPMAP_LINEAR);
    if (!background) gl.generateMipmap(gl.TEXTURE_2D);
    const blurs = background ? 0 : Math.floor(Math.log2(Math.max(width, height)));
    gl.uniform1i(this.present.place("blurs"), blurs);
    gl.uniform3fv(this.present.place("background"), background ?? [0, 0, 0]);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  resize(width, height) {
    if (width === this.size[0] && height === this.size[1]) return;
    const gl = this.gl, [format, type] = this.format;
    gl.activeTexture(gl.TEXTURE2);
    gl.texImage2D(gl.TEXTURE_2D, 0, format, width, height, 0, gl.RGBA, type, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    const place = gl.COLOR_ATTACHMENT0;
    gl.framebufferTexture2D(gl.FRAMEBUFFER, place, gl.TEXTURE_2D, this.picture, 0);
    this.size = [width, height];
  }
}

const rectangleOf = ({ width, height }) => ({ x: 0, y: 0, width, height });

/** Returns a program of two shaders in the page, and a function that finds its uniforms. */
function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [name, kind] of [[vertex, gl.VERTEX_SHADER], [fragment, gl.FRAGMENT_SHADER]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, document.getElementById(name).textContent.trim());
    gl.compileShader(shader);
    gl.attachShader(made, shader);
    const log = gl.getShaderInfoLog(shader);
    if (log && !gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(`${name}: ${log}`);
  }
  gl.linkProgram(made);
  const places = {};
  const place = (name) => {
    if (!(name in places)) places[name] = gl.getUniformLocation(made, name);
    return places[name];
  };
  return { program: made, place };
}

/** Puts words into a texture of rows of `width` texels, of which the last is filled up. */
function upload(gl, unit, inside, format, perTexel, width, words) {
  const height = Math.max(1, Math.ceil(words.length / (width * perTexel)));
  if (height > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    throw new Error("This device has no room for so many Gaussians.");
  }
  const whole = new Uint32Array(width * height * perTexel);
  whole.set(words);
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, inside, width, height, 0, format, gl.UNSIGNED_INT, whole);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
}
