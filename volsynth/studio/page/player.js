// A motion, frame after frame: strips of frames are fetched once, in order, and kept.

export class Player {
  // fetchStrip(motion, start): a blob with up to `batch` frames one below the other.
  // show(bitmap, index, number fetched): draws a frame; `bitmap` is null while it is being made.
  // state(playing).
  constructor({ fetchStrip, show, state, failed }) {
    Object.assign(this, { fetchStrip, show, state, failed });
    this.motion = null;
    this.frames = [];
    this.playing = false;
    this.index = 0;
    this.speed = 1;
    this.loop = true;
  }

  // motion: {frames, fps, batch, …}; the frames of one before are dropped.
  load(motion) {
    this.clear();
    this.motion = motion;
    this.frames = Array(motion.frames).fill(null);
    this.fetchAll(motion);
  }

  clear() {
    this.pause();
    for (const frame of this.frames) frame?.close();
    this.motion = null;
    this.frames = [];
    this.index = 0;
  }

  get ready() {
    return this.frames.filter((frame) => frame).length;
  }

  async fetchAll(motion) {
    try {
      for (let start = 0; start < motion.frames; start += motion.batch) {
        const strip = await createImageBitmap(await this.fetchStrip(motion, start));
        if (this.motion !== motion) return;
        const side = strip.width;
        const count = Math.min(Math.round(strip.height / side), motion.frames - start);
        for (let i = 0; i < count; i++) {
          const frame = await createImageBitmap(strip, 0, i * side, side, side);
          if (this.motion !== motion) return;
          this.frames[start + i] = frame;
        }
        strip.close();
        this.show(this.frames[this.index], this.index, this.ready);
      }
    } catch (error) {
      if (this.motion === motion) this.failed(error);
    }
  }

  seek(index) {
    this.index = index;
    this.show(this.frames[index], index, this.ready);
  }

  play() {
    if (!this.motion || this.playing) return;
    this.playing = true;
    this.state(true);
    if (!this.loop && this.index === this.motion.frames - 1) this.seek(0);
    let due = performance.now();
    const tick = (now) => {
      if (!this.playing) return;
      const pause = 1000 / (this.motion.fps * this.speed);
      while (this.playing && now - due >= pause) {
        due += pause;
        let next = this.index + 1;
        if (next === this.motion.frames) {
          if (!this.loop) {
            this.pause();
            break;
          }
          next = 0;
        }
        if (!this.frames[next]) {
          // Not made yet: time stands still.
          due = now;
          break;
        }
        this.index = next;
      }
      if (this.playing) {
        this.seek(this.index);
        requestAnimationFrame(tick);
      }
    };
    requestAnimationFrame(tick);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.state(false);
  }
}
