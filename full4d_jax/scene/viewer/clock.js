"use strict";
// The time of the clip, from 0 to 1, while it plays.

const LOOPS = ["loop", "bounce", "once"];
const SPEEDS = [1, 0.5, 0.25];
const SHORT = 2; // seconds: a shorter clip starts there and back, since its jumps are tiring

class Clock {
  /** @param seconds how long one pass takes. */
  constructor(seconds) {
    this.seconds = seconds;
    this.time = 0;
    this.playing = true;
    this.speed = 1;
    this.loop = seconds < SHORT ? "bounce" : "loop";
    this.direction = 1;
  }

  /** Goes on by some seconds; returns whether the time changes. */
  step(seconds) {
    if (!this.playing) return false;
    let time = this.time + (this.direction * this.speed * seconds) / this.seconds;
    if (this.loop === "loop") {
      time -= Math.floor(time);
    } else if (this.loop === "bounce") {
      const folded = Math.abs(time) % 2; // there and back is a pass of length 2
      if (time < 0) this.direction = 1;
      if (time > 1) this.direction = -1;
      time = folded > 1 ? 2 - folded : folded;
    } else if (time >= 1) {
      time = 1;
      this.playing = false;
    }
    this.time = time;
    return true;
  }

  toggle() {
    this.playing = !this.playing;
    if (this.playing && this.loop === "once" && this.time >= 1) this.time = 0;
  }

  /** Goes to a time and stays there. */
  seek(time) {
    this.time = clamp(time, 0, 1);
    this.playing = false;
  }

  nextLoop() {
    this.loop = LOOPS[(LOOPS.indexOf(this.loop) + 1) % LOOPS.length];
    this.direction = 1;
  }

  nextSpeed() {
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
  }
}
