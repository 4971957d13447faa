// The image, the mask on it and the brush. The mask is one byte per pixel at the image's own size; what is shown
// of it is sampled for the pixels of the screen, so that painting is as quick on a large image as on a small one.

const UNDO_BYTES = 256 * 2 ** 20;
const MOST_BRUSH = 400;  // pixels of the image
const VOID = 255;
const HATCH = [255, 0, 200];

const color = (rgb, alpha) => ((alpha << 24) | (rgb[2] << 16) | (rgb[1] << 8) | rgb[0]) >>> 0;

export class Painter {
  /** hooks: changed() after the mask or the tools changed, hover(x, y) with the pixel under the pointer or null. */
  constructor(stage, canvas, hooks) {
    Object.assign(this, { stage, canvas, hooks, tool: "brush", size: 20, value: 1, opacity: 0.45, readOnly: false });
    this.context = canvas.getContext("2d", { alpha: false });
    this.overlay = document.createElement("canvas");
    this.overlayContext = this.overlay.getContext("2d");
    this.show = { mask: true, prediction: false, inconsistency: false };
    this.scale = 1; this.left = 0; this.top = 0;
    this.pointers = new Map();
    this.image = null;
    new ResizeObserver(() => this.resize()).observe(stage);
    this.listen();
  }

  /** classes: [{value, color}], overlap: values are bits, ground: what the eraser leaves. */
  setClasses(classes, overlap, ground) {
    Object.assign(this, { classes, overlap, ground });
    this.makeColors();
  }

  makeColors() {
    const alpha = Math.round(this.opacity * 255);
    this.fill = new Uint32Array(256);
    this.edge = new Uint32Array(256);
    for (let value = 0; value < 256; value++) {
      const own = this.overlap
        ? this.classes.filter((each) => value & each.value)
        : this.classes.filter((each) => each.value === value && value !== this.ground);
      if (!own.length) continue;
      const mean = [0, 1, 2].map((i) => Math.round(own.reduce((sum, each) => sum + each.color[i], 0) / own.length));
      this.fill[value] = color(mean, alpha);
      this.edge[value] = color(mean, 255);
    }
    if (!this.overlap) { this.fill[VOID] = color([255, 255, 255], alpha); this.edge[VOID] = color([255, 255, 255], 255); }
    this.refresh();
  }

  open(image, width, height, mask) {
    Object.assign(this, { image, width, height, mask, prediction: null, inconsistency: null });
    this.before = mask.slice();  // the mask before the stroke that is being painted
    this.undone = []; this.done = []; this.edits = 0; this.savedEdits = 0;
    this.pointers.clear(); this.stroke = null;
    this.cross = { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    this.fit();
  }

  close() { this.image = null; this.mask = null; this.refresh(); }

  get dirty() { return Boolean(this.image) && this.edits !== this.savedEdits; }
  markSaved() { this.savedEdits = this.edits; this.hooks.changed(); }

  // ---- where things are on the screen

  resize() {
    const ratio = window.devicePixelRatio || 1, box = this.stage.getBoundingClientRect();
    this.boxWidth = Math.max(1, Math.floor(box.width)); this.boxHeight = Math.max(1, Math.floor(box.height));
    this.canvas.width = Math.round(this.boxWidth * ratio); this.canvas.height = Math.round(this.boxHeight * ratio);
    this.overlay.width = this.boxWidth; this.overlay.height = this.boxHeight;
    if (this.image && !this.moved) this.fit(); else this.refresh();
  }

  fit() {
    if (!this.image || !this.boxWidth) return;
    this.scale = Math.min(this.boxWidth / this.width, this.boxHeight / this.height) * 0.97;
    this.left = (this.boxWidth - this.width * this.scale) / 2;
    this.top = (this.boxHeight - this.height * this.scale) / 2;
    this.moved = false;
    this.refresh();
  }

  zoom(factor, x = this.boxWidth / 2, y = this.boxHeight / 2) {
    const least = 0.5 * Math.min(this.boxWidth / this.width, this.boxHeight / this.height, 1);
    const scale = Math.min(64, Math.max(least, this.scale * factor));
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    this.moved = true;
    this.keepInSight();
  }

  keepInSight() {
    const margin = 60;
    this.left = Math.min(this.boxWidth - margin, Math.max(margin - this.width * this.scale, this.left));
    this.top = Math.min(this.boxHeight - margin, Math.max(margin - this.height * this.scale, this.top));
    this.refresh();
  }

  toImage(x, y) { return { x: (x - this.left) / this.scale, y: (y - this.top) / this.scale }; }

  // ---- drawing

  refresh() { this.stale = null; this.request(true); }

  request(all) {
    this.all = this.all || all;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  draw() {
    const { context } = this, ratio = this.canvas.width / this.boxWidth;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#0a0c0d";
    context.fillRect(0, 0, this.boxWidth, this.boxHeight);
    if (!this.image) { this.all = false; return; }
    context.imageSmoothingEnabled = this.scale < 2;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.image, this.left, this.top, this.width * this.scale, this.height * this.scale);
    if (this.all) this.drawOverlay(0, 0, this.boxWidth, this.boxHeight);
    else if (this.stale) this.drawOverlay(...this.stale);
    this.all = false; this.stale = null;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.overlay, 0, 0);
    this.drawBrush();
  }

  drawOverlay(x0, y0, x1, y1) {
    x0 = Math.max(0, Math.floor(x0)); y0 = Math.max(0, Math.floor(y0));
    x1 = Math.min(this.boxWidth, Math.ceil(x1)); y1 = Math.min(this.boxHeight, Math.ceil(y1));
    if (x1 <= x0 || y1 <= y0) return;
    const { mask, width, height, fill, edge } = this, across = x1 - x0, down = y1 - y0;
    const prediction = this.show.prediction ? this.prediction : null;
    const inconsistency = this.show.inconsistency ? this.inconsistency : null;
    const data = new ImageData(across, down), out = new Uint32Array(data.data.buffer);
    const columns = new Int32Array(across + 1), ground = this.ground;
    for (let i = 0; i <= across; i++) {
      const x = Math.floor((x0 + i + 0.5 - this.left) / this.scale);
      columns[i] = x < 0 || x >= width ? -1 : x;
    }
    const white = color([255, 255, 255], 255), hatch = color(HATCH, 235);
    for (let j = 0; j < down; j++) {
      const y = Math.floor((y0 + j + 0.5 - this.top) / this.scale);
      if (y < 0 || y >= height) continue;
      const row = y * width, under = Math.min(height - 1, Math.floor((y0 + j + 1.5 - this.top) / this.scale)) * width;
      for (let i = 0; i < across; i++) {
        const x = columns[i];
        if (x < 0) continue;
        const right = columns[i + 1] < 0 ? x : columns[i + 1];
        let pixel = 0;
        if (this.show.mask) {
          const value = mask[row + x], side = mask[row + right], below = mask[under + x];
          pixel = value === side && value === below ? fill[value]
            : edge[value] || edge[side] || edge[below];
        }
        if (inconsistency && inconsistency[row + x] && ((x0 + i + y0 + j) & 3) === 0) pixel = hatch;
        if (prediction) {
          const value = prediction[row + x], side = prediction[row + right], below = prediction[under + x];
          // Dashes of white and of the class: visible on any image.
          if (value !== side || value !== below) {
            const shown = value !== ground ? value : side !== ground ? side : below;
            pixel = ((x0 + i + y0 + j) >> 2) % 3 ? edge[shown] || white : white;
          }
        }
        if (pixel) out[j * across + i] = pixel;
      }
    }
    this.overlayContext.putImageData(data, x0, y0);
  }

  drawBrush() {
    if (this.readOnly || this.tool === "move") return;
    const at = this.pointer || (this.keyboard && { x: this.left + (this.cross.x + 0.5) * this.scale, y: this.top + (this.cross.y + 0.5) * this.scale });
    if (!at) return;
    const { context } = this, radius = Math.max(1.5, this.size * this.scale / 2);
    const own = this.classes.find((each) => each.value === this.value);
    const ring = this.tool === "eraser" || !own ? "#ffffff" : `rgb(${own.color.join(",")})`;
    for (const [style, thick] of [["#000000", 3.5], [ring, 1.6]]) {
      context.beginPath();
      context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
      if (this.tool === "eraser" || radius < 4 || this.keyboard) {
        const arm = Math.max(3, Math.min(radius * 0.4, 8)), far = radius < 4 ? radius + 3 : 0;
        context.moveTo(at.x - far - arm, at.y); context.lineTo(at.x - far, at.y);
        context.moveTo(at.x + far, at.y); context.lineTo(at.x + far + arm, at.y);
        context.moveTo(at.x, at.y - far - arm); context.lineTo(at.x, at.y - far);
        context.moveTo(at.x, at.y + far); context.lineTo(at.x, at.y + far + arm);
      }
      context.strokeStyle = style; context.lineWidth = thick; context.stroke();
    }
  }

  // ---- painting

  begin(x, y, erase) {
    this.stroke = { erase, x, y, box: [this.width, this.height, 0, 0] };
    this.paintTo(x, y);
  }

  paintTo(x, y) {
    const { stroke, mask, width, height } = this;
    const radius = Math.max(this.size / 2, 0.6), square = radius * radius;
    const ax = stroke.x, ay = stroke.y, dx = x - ax, dy = y - ay, length = dx * dx + dy * dy;
    const x0 = Math.max(0, Math.floor(Math.min(ax, x) - radius)), x1 = Math.min(width - 1, Math.ceil(Math.max(ax, x) + radius));
    const y0 = Math.max(0, Math.floor(Math.min(ay, y) - radius)), y1 = Math.min(height - 1, Math.ceil(Math.max(ay, y) + radius));
    const put = this.putter(stroke.erase);
    for (let j = y0; j <= y1; j++) {
      for (let i = x0; i <= x1; i++) {
        // Distance of the pixel's center from the way that the brush has gone.
        const px = i + 0.5 - ax, py = j + 0.5 - ay;
        const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const ex = px - t * dx, ey = py - t * dy;
        if (ex * ex + ey * ey <= square) put(mask, j * width + i);
      }
    }
    stroke.x = x; stroke.y = y;
    if (x1 < x0 || y1 < y0) return;
    const box = stroke.box;
    box[0] = Math.min(box[0], x0); box[1] = Math.min(box[1], y0); box[2] = Math.max(box[2], x1 + 1); box[3] = Math.max(box[3], y1 + 1);
    this.makeStale(x0, y0, x1 + 1, y1 + 1);
  }

  putter(erase) {
    const { value, ground } = this;
    if (this.overlap) return erase ? (mask, i) => { mask[i] &= ~value; } : (mask, i) => { mask[i] |= value; };
    const put = erase ? ground : value;
    return (mask, i) => { mask[i] = put; };
  }

  makeStale(x0, y0, x1, y1) {
    const box = [this.left + x0 * this.scale - 2, this.top + y0 * this.scale - 2, this.left + x1 * this.scale + 2, this.top + y1 * this.scale + 2];
    const old = this.stale;
    this.stale = old ? [Math.min(old[0], box[0]), Math.min(old[1], box[1]), Math.max(old[2], box[2]), Math.max(old[3], box[3])] : box;
    this.request(false);
  }

  end() {
    const stroke = this.stroke;
    this.stroke = null;
    if (stroke) this.record(...stroke.box);
  }

  cancel() {
    const stroke = this.stroke;
    this.stroke = null;
    if (!stroke || stroke.box[2] <= stroke.box[0]) return;
    this.copy(this.before, this.mask, ...stroke.box);
    this.makeStale(...stroke.box);
  }

  /** Make what changed since `before`, inside a box, an edit that can be undone. */
  record(x0, y0, x1, y1) {
    if (x1 <= x0 || y1 <= y0) return;
    const old = this.cut(this.before, x0, y0, x1, y1), now = this.cut(this.mask, x0, y0, x1, y1);
    if (old.every((value, i) => value === now[i])) return;
    this.copy(this.mask, this.before, x0, y0, x1, y1);
    this.done.push({ box: [x0, y0, x1, y1], old, now });
    this.undone = [];
    // What was saved and then undone and painted over cannot be come back to.
    if (this.savedEdits > this.edits) this.savedEdits = -1;
    this.edits += 1;
    let bytes = this.done.reduce((sum, edit) => sum + 2 * edit.old.length, 0);
    while (bytes > UNDO_BYTES && this.done.length > 1) bytes -= 2 * this.done.shift().old.length;
    this.hooks.changed();
  }

  cut(from, x0, y0, x1, y1) {
    const out = new Uint8Array((x1 - x0) * (y1 - y0));
    for (let j = y0; j < y1; j++) out.set(from.subarray(j * this.width + x0, j * this.width + x1), (j - y0) * (x1 - x0));
    return out;
  }

  copy(from, to, x0, y0, x1, y1) {
    for (let j = y0; j < y1; j++) to.set(from.subarray(j * this.width + x0, j * this.width + x1), j * this.width + x0);
  }

  paste(values, x0, y0, x1, y1) {
    for (let j = y0; j < y1; j++) {
      const row = values.subarray((j - y0) * (x1 - x0), (j - y0 + 1) * (x1 - x0));
      this.mask.set(row, j * this.width + x0); this.before.set(row, j * this.width + x0);
    }
    this.makeStale(x0, y0, x1, y1);
  }

  undo() {
    const edit = this.stroke ? null : this.done.pop();
    if (!edit) return;
    this.undone.push(edit); this.edits -= 1;
    this.paste(edit.old, ...edit.box); this.hooks.changed();
  }

  redo() {
    const edit = this.stroke ? null : this.undone.pop();
    if (!edit) return;
    this.done.push(edit); this.edits += 1;
    this.paste(edit.now, ...edit.box); this.hooks.changed();
  }

  /** Put another whole mask in place, as one edit. */
  replace(mask) {
    this.mask.set(mask);
    this.record(0, 0, this.width, this.height);
    this.refresh();
  }

  // ---- pointer and wheel

  listen() {
    const { canvas } = this;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => { this.pointer = null; this.hooks.hover(null); this.request(false); });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (!this.image) return;
      const at = this.place(event);
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), at.x, at.y);
    }, { passive: false });
  }

  place(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  press(event) {
    if (!this.image) return;
    event.preventDefault();
    this.stage.focus({ preventScroll: true });
    this.keyboard = false;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size === 2) { this.cancel(); this.pinching = true; return; }
    if (this.pointers.size > 2 || this.pinching) return;
    const pans = this.tool === "move" || this.spaceHeld || this.readOnly || event.button === 1;
    if (pans) { this.panning = true; return; }
    const erases = this.tool === "eraser" || event.button === 2 || Boolean(event.buttons & 32);
    const { x, y } = this.toImage(at.x, at.y);
    this.pointer = at;
    this.begin(x, y, erases);
  }

  move(event) {
    if (!this.image) return;
    const at = this.place(event), last = this.pointers.get(event.pointerId);
    if (event.pointerType !== "touch" || this.stroke) this.pointer = at;
    if (last) this.pointers.set(event.pointerId, at);
    const { x, y } = this.toImage(at.x, at.y);
    this.hooks.hover(x >= 0 && y >= 0 && x < this.width && y < this.height ? { x: Math.floor(x), y: Math.floor(y) } : null);
    if (last && this.pinching && this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const far = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      this.left += (at.x - last.x) / 2; this.top += (at.y - last.y) / 2;
      this.zoom(far(at) / far(last), (at.x + other.x) / 2, (at.y + other.y) / 2);
    } else if (last && this.panning) {
      this.left += at.x - last.x; this.top += at.y - last.y; this.moved = true;
      this.keepInSight();
    } else if (this.stroke && last) {
      const steps = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const step of steps.length ? steps : [event]) {
        const there = this.place(step), point = this.toImage(there.x, there.y);
        this.paintTo(point.x, point.y);
      }
    }
    this.request(false);
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (event.type === "pointercancel") this.cancel(); else this.end();
    this.panning = false;
    if (!this.pointers.size) this.pinching = false;
    if (event.pointerType === "touch") this.pointer = null;
    this.request(false);
  }

  // ---- without a pointer

  moveCross(dx, dy) {
    this.keyboard = true; this.pointer = null;
    this.cross.x = Math.min(this.width - 1, Math.max(0, this.cross.x + dx));
    this.cross.y = Math.min(this.height - 1, Math.max(0, this.cross.y + dy));
    const x = this.left + this.cross.x * this.scale, y = this.top + this.cross.y * this.scale;
    if (x < 0 || y < 0 || x > this.boxWidth || y > this.boxHeight) {
      this.left += this.boxWidth / 2 - x; this.top += this.boxHeight / 2 - y; this.moved = true;
      this.refresh();
    }
    this.hooks.hover(this.cross);
    this.request(false);
  }

  stampCross() {
    if (this.readOnly || this.tool === "move") return;
    this.begin(this.cross.x + 0.5, this.cross.y + 0.5, this.tool === "eraser");
    this.end();
  }
}

/** Position of the size's slider, 0..100 → diameter in pixels of the image, fine where it is small. */
export const sizeOf = (position) => Math.max(1, Math.round(MOST_BRUSH ** (position / 100)));
export const positionOf = (size) => Math.round(100 * Math.log(Math.max(1, size)) / Math.log(MOST_BRUSH));
