"use strict";
// The bar, the list of views, the keys and their help.

const TURN_KEYS = { ArrowLeft: [4, 0], ArrowRight: [-4, 0], ArrowUp: [0, 4], ArrowDown: [0, -4] };
const IDLE_SECONDS = 3.5; // without input until the bar fades
const LOOP_TITLES = { loop: "Loop", bounce: "There and back", once: "Once" };
const element = (name) => document.getElementById(name);

class Buttons {
  /** @param viewer what they operate. */
  constructor(viewer) {
    this.viewer = viewer;
    this.touchedAt = performance.now();
    const { clock, camera } = viewer;
    this.on("play", () => clock.toggle());
    this.on("speed", () => clock.nextSpeed());
    this.on("loop", () => clock.nextLoop());
    this.on("reset", () => viewer.reset());
    this.on("screen", () => this.fullScreen());
    this.on("ask", () => this.help());
    this.on("link", () => this.copyAddress());
    this.film = new Film(viewer);
    this.done = null; // share of a video that is being made
    this.on("film", () => this.showFilm());
    this.on("keep", () => this.film.keep());
    this.on("drop", () => this.film.keys.pop());
    this.on("json", () => save(new Blob([this.film.json()], { type: "application/json" }), "path.json"));
    this.on("video", () => this.saveVideo());
    this.on("speaker", () => viewer.sound.toggle());
    this.on("headset", () => viewer.headset.enter().catch((error) => this.say(error.message)));
    viewer.headset.canEnter().then((can) => (element("headset").hidden = !can));
    element("screen").hidden = !document.fullscreenEnabled;
    element("time").addEventListener("input", (event) => {
      clock.seek(Number(event.target.value));
      viewer.touched();
    });
    element("bar").classList.toggle("still", viewer.scene.still);
    element("views").hidden = camera.views.length < 2;
    this.views = camera.views.map(({ name }, i) => this.viewButton(name, i));
    element("help").addEventListener("click", () => element("help").close());
    for (const part of document.querySelectorAll("#help .views")) {
      part.hidden = camera.views.length < 2;
    }
    for (const part of document.querySelectorAll("#speaker, #help .sound")) {
      part.hidden = !viewer.sound.element;
    }
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("pointermove", () => (this.touchedAt = performance.now()));
    addEventListener("pointerdown", () => (this.touchedAt = performance.now()));
    viewer.canvas.addEventListener("dblclick", () => viewer.reset());
  }

  on(name, act) {
    element(name).addEventListener("click", (event) => {
      // After a click the space bar is for playing; who came by the tab key goes on with it.
      if (event.detail) event.currentTarget.blur();
      this.viewer.touched();
      act();
    });
  }

  viewButton(name, i) {
    const button = document.createElement("button");
    button.textContent = name;
    button.id = `view-${i}`;
    button.title = i < 10 ? `Camera of this view (${i})` : "Camera of this view";
    element("views").append(button);
    this.on(button.id, () => this.viewer.camera.show(i));
    return button;
  }

  key(event) {
    const { viewer } = this, { clock, camera } = viewer, { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const focused = event.target.matches?.("button:focus-visible");
    if (focused && (key === " " || key === "Enter")) return;
    if (event.target.id === "time" && key.startsWith("Arrow")) return;
    const swaying = camera.swaySeconds !== null, number = Number(key);
    const actions = {
      " ": () => clock.toggle(),
      ",": () => clock.seek(clock.time - viewer.timeStep),
      ".": () => clock.seek(clock.time + viewer.timeStep),
      "+": () => camera.zoom(0.9),
      "=": () => camera.zoom(0.9),
      "-": () => camera.zoom(1 / 0.9),
      l: () => clock.nextLoop(),
      m: () => viewer.sound.toggle(),
      r: () => viewer.reset(),
      s: () => camera.setSway(!swaying),
      f: () => this.fullScreen(),
      c: () => this.copyAddress(),
      v: () => this.showFilm(),
      k: () => this.showFilm(true),
      h: () => this.help(),
      "?": () => this.help(),
    };
    const turn = TURN_KEYS[key];
    let act = turn ? () => camera.turn(...turn) : actions[key];
    if (key !== " " && number in camera.views) act = () => camera.show(number);
    if (!act) return;
    viewer.touched();
    act();
    event.preventDefault();
  }

  help() {
    const panel = element("help");
    if (panel.open) panel.close();
    else panel.showModal();
  }

  /** Puts the address of this view and time into the window and the clipboard. */
  copyAddress() {
    history.replaceState(null, "", `#${this.viewer.fragment()}`);
    const { href } = location;
    this.say("Address copied");
    navigator.clipboard?.writeText(href).catch(() => this.say("The address is in the window's bar"));
  }

  /** Shows what films, or hides it; with `keep`, keeps a keyframe. */
  showFilm(keep = false) {
    const panel = element("shots");
    panel.hidden = keep ? false : !panel.hidden;
    if (keep) this.film.keep();
  }

  async saveVideo() {
    const { viewer } = this;
    viewer.filming = true;
    try {
      save(await this.film.video((share) => (this.done = share)), "path.webm");
    } catch (error) {
      this.say(error.message);
    } finally {
      viewer.filming = false;
      viewer.sorting.renew();
      viewer.changed = true;
      this.done = null;
    }
  }

  /** Shows some words for a while. */
  say(words) {
    const hint = element("hint");
    hint.textContent = words;
    hint.classList.remove("gone");
    clearTimeout(this.saying);
    this.saying = setTimeout(() => hint.classList.add("gone"), 2500);
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.().catch(() => {});
  }

  /** Shows the state of the viewer. */
  update(now) {
    const { clock, camera, scene } = this.viewer, slider = element("time");
    slider.value = clock.time;
    slider.style.setProperty("--done", `${(100 * clock.time).toFixed(2)}%`);
    const seconds = (time) => (time * clock.seconds).toFixed(2);
    this.write("clock", `${seconds(clock.time)} / ${seconds(1)} s`);
    this.write("speed", { 1: "1×", 0.5: "½×", 0.25: "¼×" }[clock.speed]);
    element("play").className = clock.playing ? "on" : "";
    element("loop").setAttribute("class", clock.loop);
    element("speaker").className = this.viewer.sound.on ? "on" : "";
    element("speaker").title = this.viewer.sound.on ? "Mute (m)" : "Sound (m)";
    element("loop").title = `${LOOP_TITLES[clock.loop]} (l)`;
    this.views.forEach((button, i) => button.setAttribute("aria-pressed", camera.view === i));
    const rate = this.viewer.rate > 0.5 ? ` · ${Math.round(this.viewer.rate)} pictures a second` : "";
    this.write("facts", `${scene.count.toLocaleString("en")} Gaussians${rate}`);
    const { keys } = this.film, busy = this.done !== null;
    const kept = `${keys.length} keyframe${keys.length === 1 ? "" : "s"}`;
    this.write("kept", busy ? `${Math.round(100 * this.done)} %` : kept);
    for (const name of ["drop", "json", "video"]) element(name).disabled = busy || !keys.length;
    for (const name of ["keep", "headset"]) element(name).disabled = busy;
    const idle = now - this.touchedAt > 1000 * IDLE_SECONDS;
    document.body.classList.toggle("idle", idle && clock.playing && !element("help").open && element("shots").hidden);
    if (idle && !this.saying) element("hint").classList.add("gone");
  }

  write(name, text) {
    if (element(name).textContent !== text) element(name).textContent = text;
  }
}
