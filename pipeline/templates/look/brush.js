// The brush: it keeps its size on the screen from image to image, whatever their pixels, and a ring shows it.

import { find } from "./base.js";

let stage;
let share = 1 / 60; // of the image's long side

export function setUp(theStage) {
  stage = theStage;
  find("#brush").addEventListener("input", chosen);
  stage.element.addEventListener("pointerleave", () => show(null));
}

const longSide = () => Math.max(...stage.size);

/** In pixels of the image. */
export const radius = () => Number(find("#brush").value) / 2;

/** For another image. */
export function fit() {
  find("#brush").max = Math.max(60, Math.round(longSide() / 8));
  find("#brush").value = Math.max(1, Math.round(share * longSide()));
  showSize();
}

/** A step larger (1) or smaller (-1). */
export function change(direction) {
  const now = Number(find("#brush").value);
  find("#brush").value = now + direction * Math.max(1, Math.round(now / 5));
  chosen();
}

function chosen() {
  share = Number(find("#brush").value) / longSide();
  showSize();
}

function showSize() {
  find("#brush-size").textContent = `${find("#brush").value} px`;
  stage.cursor?.setAttribute("r", radius());
}

/** The ring where the mouse is; null hides it. */
export function show(event) {
  if (!stage.cursor) return;
  const seen = event !== null && event.pointerType !== "touch";
  stage.cursor.classList.toggle("shown", seen);
  if (!seen) return;
  const [cx, cy] = stage.place(event);
  for (const [name, value] of Object.entries({ cx, cy, r: radius() })) stage.cursor.setAttribute(name, value);
}
