"use strict";
// The sound of the source, in step with the clock; silent until a person asks for it.

const MOST_APART = 0.1; // seconds between sound and picture

class Sound {
  constructor() {
    this.element = element("sound"); // null where the source has none
  }

  get on() {
    return Boolean(this.element) && !this.element.muted;
  }

  toggle() {
    if (this.element) this.element.muted = !this.element.muted;
  }

  rest() {
    if (this.element && !this.element.paused) this.element.pause();
  }

  /** Sounds as the clock shows; sound does not run backwards, and is silent there. */
  follow(clock) {
    const { element } = this;
    if (!this.on || !clock.playing || clock.direction < 0) return this.rest();
    if (element.readyState < HTMLMediaElement.HAVE_METADATA) return;
    const time = Math.min(clock.time * clock.seconds, element.duration);
    const apart = Math.abs(element.currentTime - time) > MOST_APART;
    if (apart && !element.seeking) element.currentTime = time;
    element.playbackRate = clock.speed;
    if (element.paused && (apart || !element.ended)) element.play().catch(() => {});
  }
}
