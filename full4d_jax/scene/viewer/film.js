"use strict";
// A film along keyframes that a person keeps: its poses, its JSON, and its video.

const FILM_FPS = 24;
const BETWEEN = 2; // seconds from one keyframe to the next
const FILM_ROWS = 720; // of the shorter side
const BITS = 0.15; // of a video, per pixel

/** Returns a value on a smooth curve through points, between the second and the third of four. */
function smooth(a, b, c, d, share) {
  const [s, t] = [share, share * share], u = t * share;
  const weights = [-u + 2 * t - s, 3 * u - 5 * t + 2, -3 * u + 4 * t + s, u - t];
  return a.map((x, i) => 0.5 * dot4(weights, [x, b[i], c[i], d[i]]));
}
const dot4 = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];

class Film {
  /** @param viewer whose camera and clock are kept. */
  constructor(viewer) {
    this.viewer = viewer;
    this.keys = []; // of { pose, time }
    const { lens, width, height } = viewer.settings.views[0];
    const scale = FILM_ROWS / Math.min(width, height);
    this.size = [width, height].map((side) => 2 * Math.round((side * scale) / 2));
    this.lens = lens.map((pixels, i) => (pixels * this.size[i % 2]) / [width, height][i % 2]);
  }

  keep() {
    this.keys.push({ pose: this.viewer.camera.shown.pose, time: this.viewer.clock.time });
  }

  /** Returns { pose, time } of every picture; one keyframe is a film at one place and all times. */
  pictures() {
    const { keys } = this, count = keys.length;
    const perPart = FILM_FPS * BETWEEN;
    if (count === 1) {
      const all = Math.round(FILM_FPS * this.viewer.clock.seconds);
      return Array.from({ length: all }, (_, i) => ({ ...keys[0], time: i / Math.max(1, all - 1) }));
    }
    return Array.from({ length: perPart * (count - 1) + 1 }, (_, i) => {
      const part = Math.min(Math.floor(i / perPart), count - 2), share = i / perPart - part;
      const near = [-1, 0, 1, 2].map((k) => keys[clamp(part + k, 0, count - 1)]);
      const on = (name) => smooth(...near.map(({ pose }) => pose[name]), share);
      const forward = unit(on("forward")), slanted = on("down");
      const down = unit(plus(slanted, forward, -dot(slanted, forward)));
      const pose = { eye: on("eye"), forward, down, right: cross(down, forward) };
      return { pose, time: near[1].time + share * (near[2].time - near[1].time) };
    });
  }

  /** Returns what `full4d render --path` reads. */
  json() {
    const pictures = this.pictures(), [fx, fy, cx, cy] = this.lens;
    const matrix = ({ pose }) => {
      const rows = [pose.right, pose.down, pose.forward];
      return [...rows.map((row) => [...row, -dot(row, pose.eye)]), [0, 0, 0, 1]];
    };
    return JSON.stringify({
      world_to_camera: pictures.map(matrix),
      intrinsics: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]],
      image_size: this.size,
      times: pictures.map(({ time }) => time),
      fps: FILM_FPS,
    });
  }

  /**
   * Returns the film as a WebM video.
   *
   * @param told called with the share that is done.
   */
  async video(told) {
    const { renderer, scene, canvas } = this.viewer, [width, height] = this.size;
    const settings = { width, height, framerate: FILM_FPS, bitrate: BITS * width * height * FILM_FPS };
    let codec = "vp09.00.31.08";
    const supported = await globalThis.VideoEncoder?.isConfigSupported({ codec, ...settings });
    if (!supported) throw new Error("This browser makes no videos; export the path as JSON.");
    if (!supported.supported) codec = "vp8";
    const chunks = [];
    let failure = null;
    const encoder = new VideoEncoder({
      output: (chunk) => {
        const data = new Uint8Array(chunk.byteLength);
        chunk.copyTo(data);
        chunks.push({ data, time: chunk.timestamp, key: chunk.type === "key" });
      },
      error: (error) => (failure = error),
    });
    encoder.configure({ codec, ...settings });
    const sort = createSorter(scene), order = this.viewer.sorting.room(), pictures = this.pictures();
    const background = this.viewer.background;
    for (const [i, { pose, time }] of pictures.entries()) {
      this.viewer.fit(width, height);
      renderer.setOrder(order, sort(pose.forward, -dot(pose.forward, pose.eye), time, order));
      renderer.draw(pose, this.lens, time, background);
      const frame = new VideoFrame(canvas, { timestamp: Math.round((1e6 * i) / FILM_FPS) });
      encoder.encode(frame, { keyFrame: i % FILM_FPS === 0 });
      frame.close();
      told((i + 1) / pictures.length);
      while (encoder.encodeQueueSize > 4) await later();
      await later();
      if (failure) throw failure;
    }
    await encoder.flush();
    encoder.close();
    return webm(chunks, { codec: codec === "vp8" ? "V_VP8" : "V_VP9", width, height, fps: FILM_FPS });
  }
}

const later = () => new Promise((go) => setTimeout(go));

/** Lets a person save a file. */
function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
