// One image with what lies over it: layers of the book, the canvas of strokes, and points and boxes as vectors.

import { element, find } from "./base.js";

const SVG = "http://www.w3.org/2000/svg";
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];

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
      this.zoomBy(event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
  }

  /** Show an image of (H, W); what lay over the one before goes. */
  show(photo, size, name) {
    this.size = size;
    this.zoom = 1;
    const [height, width] = size;
    this.photo = element("img", { src: photo, alt: name, draggable: "false" });
    this.canvas = element("canvas", { width, height });
    this.layers = shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "layer box-layer" });
    this.marks = shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" });
    this.element.replaceChildren(this.photo, this.layers, this.canvas, this.marks);
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
    this.onScale?.();
  }

  zoomBy(steps) {
    const at = Math.min(Math.max(ZOOMS.indexOf(this.zoom) + steps, 0), ZOOMS.length - 1);
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.frame;
    const factor = ZOOMS[at] / this.zoom;
    this.zoom = ZOOMS[at];
    this.fit();
    this.frame.scrollLeft = (scrollLeft + clientWidth / 2) * factor - clientWidth / 2;
    this.frame.scrollTop = (scrollTop + clientHeight / 2) * factor - clientHeight / 2;
  }

  /** Where an event is, in pixels of the image. */
  place({ clientX, clientY }) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    return [((clientX - left) / width) * this.size[1], ((clientY - top) / height) * this.size[0]];
  }
}
