// One image with what lies over it: layers of the book, the canvas of strokes, and points and boxes as vectors.

import { element, find } from "./base.js";

const SVG = "http://www.w3.org/2000/svg";
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8, 12, 16];
const MOST_SCALE = 64; // pixels of the screen for one of the image
const SHOWN = 1600; // pixels of the long side of the photo that is shown first; the server's SIDE

export function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** A box with a dark line around it, so that it shows on any image. */
export function boxShapes([x1, y1, x2, y2], colour, dashed = false) {
  const place = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
  return [
    shape("rect", { ...place, class: "halo", "stroke-width": 4.5 }),
    shape("rect", { ...place, stroke: colour, "stroke-width": 2.5, ...(dashed ? { "stroke-dasharray": "6 4" } : {}) }),
  ];
}

export class Stage {
  constructor() {
    this.element = find("#stage");
    this.frame = find("#frame");
    this.size = [1, 1];
    this.zoom = 1;
    new ResizeObserver(() => this.fit()).observe(this.frame);
    this.frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault(); // or the browser zooms the whole page
      this.zoomBy(event.deltaY < 0 ? 1 : -1, event);
    }, { passive: false });
    this.frame.addEventListener("pointerdown", (event) => this.#grab(event));
  }

  /** Drag the image with the middle button, or with any while nothing is drawn. */
  #grab(event) {
    const middle = event.button === 1;
    if (!middle && (event.button || event.pointerType === "touch" || this.element.classList.contains("drawing"))) return;
    event.preventDefault();
    this.frame.focus({ preventScroll: true });
    const from = { x: event.clientX + this.frame.scrollLeft, y: event.clientY + this.frame.scrollTop };
    const move = ({ clientX, clientY }) => { this.frame.scrollTo(from.x - clientX, from.y - clientY); };
    this.frame.setPointerCapture(event.pointerId);
    this.frame.classList.add("grabbing");
    this.frame.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) {
      this.frame.addEventListener(end, () => {
        this.frame.removeEventListener("pointermove", move);
        this.frame.classList.remove("grabbing");
      }, { once: true });
    }
  }

  /** Show an image of (H, W); what lay over the one before goes. ``whole``: address of the photo with all its pixels. */
  show(photo, size, name, whole = null) {
    this.size = size;
    this.zoom = 1;
    this.whole = Math.max(...size) > SHOWN ? whole : null;
    const [height, width] = size;
    this.photo = element("img", { src: photo, alt: name, draggable: "false" });
    this.canvas = element("canvas", { width, height });
    this.layers = shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "layer box-layer" });
    this.marks = shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" });
    const over = shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "cursor-layer" });
    this.cursor = shape("circle", { class: "cursor", r: 1 });
    over.append(this.cursor);
    this.element.replaceChildren(this.photo, this.layers, this.canvas, this.marks, over);
    this.fit();
  }

  /** Pictures between the photo and the strokes, in order, and boxes [x1, y1, x2, y2] with their colour. */
  showLayers(pictures, boxes) {
    this.element.querySelectorAll("img.layer, img.outline").forEach((one) => one.remove());
    for (const { address, kind } of pictures) this.layers.before(element("img", { src: address, alt: "", class: kind, draggable: "false" }));
    this.layers.replaceChildren(...boxes.flatMap(({ corners, colour }) => boxShapes(corners, colour, true)));
  }

  /** As large as the frame allows, times the zoom. */
  fit() {
    const [height, width] = this.size;
    const room = { width: this.frame.clientWidth - 10, height: this.frame.clientHeight - 10 };
    const scale = Math.max(0.01, Math.min(room.width / width, room.height / height)) * this.zoom;
    this.element.style.width = `${width * scale}px`;
    this.element.style.height = `${height * scale}px`;
    this.scale = scale;
    if (this.whole && scale * devicePixelRatio * Math.max(height, width) > 1.1 * SHOWN) this.#sharpen();
    this.onScale?.();
  }

  /** The photo with all its pixels, in place of the smaller one as soon as it is there. */
  async #sharpen() {
    const [photo, sharp] = [this.photo, element("img", { src: this.whole, alt: this.photo.alt, draggable: "false" })];
    this.whole = null;
    try {
      await sharp.decode();
    } catch {
      return; // the smaller one stays
    }
    if (photo !== this.photo) return; // another image is open
    photo.replaceWith(sharp);
    this.photo = sharp;
  }

  /** Zoom in or out by some steps; what is at ``at``, the mouse or the middle of the frame, stays there. */
  zoomBy(steps, at = null) {
    const most = ZOOMS.findLastIndex((zoom) => zoom === 1 || (this.scale / this.zoom) * zoom <= MOST_SCALE);
    const zoom = ZOOMS[Math.min(Math.max(ZOOMS.indexOf(this.zoom) + steps, 0), most)];
    const { left, top, width, height } = this.frame.getBoundingClientRect();
    const { clientX, clientY } = at ?? { clientX: left + width / 2, clientY: top + height / 2 };
    const [x, y] = this.place({ clientX, clientY });
    this.zoom = zoom;
    this.fit();
    const now = this.element.getBoundingClientRect();
    this.frame.scrollBy(now.left + (x / this.size[1]) * now.width - clientX, now.top + (y / this.size[0]) * now.height - clientY);
  }

  /** Where an event is, in pixels of the image. */
  place({ clientX, clientY }) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    return [((clientX - left) / width) * this.size[1], ((clientY - top) / height) * this.size[0]];
  }
}
