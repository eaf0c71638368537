// What is drawn on one image: strokes as a label for each pixel, points, boxes; every change can be undone.

export const UNLABELLED = 254;

export class Drawing {
  constructor([height, width], { points, boxes, no_object: noObject, runs, version }) {
    Object.assign(this, { width, height, points, boxes, noObject, version });
    this.labels = new Uint8Array(width * height).fill(UNLABELLED);
    let at = 0;
    for (const [label, count] of runs) this.labels.fill(label, at, (at += count));
    this.done = [];
    this.undone = [];
    this.open = null;
    this.saved = 0; // how many changes had been made when it was saved last
  }

  get changed() { return this.saved !== this.done.length; }

  /** Begin a change: a stroke, a point, a box. */
  begin() {
    this.open = { at: [], before: [], after: [], points: this.points, boxes: this.boxes, noObject: this.noObject };
  }

  /** The part [x1, y1, x2, y2] of the strokes that a change touched; null for none. */
  #part({ at }) {
    if (!at.length) return null;
    const part = [this.width, this.height, 0, 0];
    for (const one of at) {
      const x = one % this.width, y = (one - x) / this.width;
      part[0] = Math.min(part[0], x); part[1] = Math.min(part[1], y);
      part[2] = Math.max(part[2], x + 1); part[3] = Math.max(part[3], y + 1);
    }
    return part;
  }

  /** End the change; one that changed nothing is none. */
  end() {
    const change = this.open;
    this.open = null;
    if (!change || (!change.at.length && change.points === this.points && change.boxes === this.boxes && change.noObject === this.noObject)) return;
    if (this.saved > this.done.length) this.saved = -1; // what was saved can no longer be reached by redoing
    this.done.push(change);
    this.undone = [];
  }

  /** Label the pixels within ``radius`` of the line between two places. Returns the part [x1, y1, x2, y2] touched. */
  stroke([ax, ay], [bx, by], radius, label) {
    const x1 = Math.max(0, Math.floor(Math.min(ax, bx) - radius)), x2 = Math.min(this.width, Math.ceil(Math.max(ax, bx) + radius) + 1);
    const y1 = Math.max(0, Math.floor(Math.min(ay, by) - radius)), y2 = Math.min(this.height, Math.ceil(Math.max(ay, by) + radius) + 1);
    const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
    for (let y = y1; y < y2; y += 1) {
      for (let x = x1; x < x2; x += 1) {
        const px = x + .5 - ax, py = y + .5 - ay; // from the middle of the pixel
        const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= radius * radius) this.#set(y * this.width + x, label);
      }
    }
    return [x1, y1, x2, y2];
  }

  #set(at, label) {
    if (this.labels[at] === label) return;
    this.open.at.push(at);
    this.open.before.push(this.labels[at]);
    this.open.after.push(label);
    this.labels[at] = label;
  }

  /** Take everything away. Like undo and redo, returns the part of the strokes that changed, or null. */
  clear() {
    this.begin();
    const change = this.open;
    for (let at = 0; at < this.labels.length; at += 1) if (this.labels[at] !== UNLABELLED) this.#set(at, UNLABELLED);
    if (this.points.length) this.points = [];
    if (this.boxes.length) this.boxes = [];
    this.noObject = false;
    this.end();
    return this.#part(change);
  }

  undo() { return this.#swap(this.done, this.undone, false); }

  redo() { return this.#swap(this.undone, this.done, true); }

  #swap(from, to, forward) {
    const change = from.pop();
    const { points, boxes, noObject } = this;
    const values = forward ? change.after : change.before;
    if (forward) change.at.forEach((at, k) => { this.labels[at] = values[k]; });
    else for (let k = change.at.length - 1; k >= 0; k -= 1) this.labels[change.at[k]] = values[k];
    Object.assign(this, { points: change.points, boxes: change.boxes, noObject: change.noObject });
    to.push({ ...change, points, boxes, noObject });
    return this.#part(change);
  }

  /** As the server wants it. */
  plain() {
    const runs = [];
    let begin = 0;
    for (let at = 1; at <= this.labels.length; at += 1) {
      if (at < this.labels.length && this.labels[at] === this.labels[begin]) continue;
      runs.push([this.labels[begin], at - begin]);
      begin = at;
    }
    const stroked = runs.length > 1 || runs[0]?.[0] !== UNLABELLED;
    return { points: this.points, boxes: this.boxes, no_object: this.noObject && !this.boxes.length, runs: stroked ? runs : [], version: this.version };
  }

  count() {
    let pixels = 0;
    for (const label of this.labels) if (label !== UNLABELLED) pixels += 1;
    return { points: this.points.length, boxes: this.boxes.length, pixels };
  }
}
