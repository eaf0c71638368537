// The tools: click points, draw scribbles and boxes, erase, undo, save.

import { ask, classOf, dataSet, element, find, say, state, swatch } from "./base.js";
import { Drawing, UNLABELLED } from "./drawing.js";
import { boxShapes, shape } from "./stage.js";

const TOOLS = { look: ["Look", "v"], point: ["Point", "p"], scribble: ["Scribble", "s"], box: ["Box", "b"], erase: ["Erase", "e"] };
const REACH = 8; // pixels of the screen within which a mark is hit
const CONFLICT = 409; // the labels changed since the page read them
const SMALLEST = 2; // pixels of a box's side

let stage, drawing = null, image = "", tool = "look", label = 1, last = null, started = null, saving = null;

export function setUp(theStage) {
  stage = theStage;
  stage.onScale = showMarks;
  find("#tools").replaceChildren(...Object.entries(TOOLS).map(([key, [name, letter]]) =>
    element("button", { type: "button", "data-tool": key, title: `${name} (${letter})`, onclick: () => choose(key) }, name)));
  for (const [event, listener] of [["pointerdown", down], ["pointermove", move], ["pointerup", up], ["pointercancel", up]]) stage.element.addEventListener(event, listener);
  for (const [id, work] of [["undo", undo], ["redo", redo], ["clear", clear], ["save", save]]) find(`#${id}`).addEventListener("click", work);
  find("#brush").addEventListener("input", showBrush);
  find("#no-object").addEventListener("change", ({ target }) => {
    drawing.begin();
    drawing.noObject = target.checked;
    drawing.end();
    changed();
  });
  addEventListener("beforeunload", (event) => { if (isChanged()) event.preventDefault(); });
  choose("look");
  showBrush();
}

/** Begin with what is drawn on an image; null for one that cannot be drawn on. */
export function start(id, size, plain) {
  image = id;
  drawing = plain && new Drawing(size, plain);
  find("#draw-panel").hidden = !drawing;
  if (!drawing) return;
  label = Math.min(label, dataSet().classes.length);
  find("#classes").replaceChildren(...[0, ...dataSet().classes.map((_, at) => at + 1)].map((one) =>
    element("button", { type: "button", "data-label": one, title: one < 10 ? `Key ${one}` : null, onclick: () => pick(one) }, swatch(classOf(one).colour), classOf(one).name)));
  pick(label);
  if (plain.runs.length) paint([0, 0, drawing.width, drawing.height]);
  changed();
}

/** Whether something waits to be saved; what was changed elsewhere meanwhile does not, for it cannot be. */
const isChanged = () => Boolean(drawing?.changed && !drawing.stale);

function choose(key) {
  tool = key;
  document.querySelectorAll("#tools button").forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.tool === key)));
  stage.element.classList.toggle("drawing", key !== "look");
  if (key === "box" && !label) pick(1);
}

function pick(one) {
  label = one;
  if (!one && tool === "box") say("Boxes are of objects. For an image without any, tick “No object”.");
  document.querySelectorAll("#classes button").forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.label) === one)));
}

const radius = () => Number(find("#brush").value) / 2;

function showBrush() {
  find("#brush-size").textContent = `${find("#brush").value} px`;
}

/** Redraw a part [x1, y1, x2, y2] of the strokes. */
function paint([x1, y1, x2, y2]) {
  const [width, height] = [x2 - x1, y2 - y1];
  if (width <= 0 || height <= 0) return;
  const context = stage.canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const colours = new Map();
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const one = drawing.labels[(y1 + y) * drawing.width + x1 + x];
      if (one === UNLABELLED) continue;
      if (!colours.has(one)) colours.set(one, Number.parseInt(classOf(one).colour.slice(1), 16));
      const rgb = colours.get(one);
      picture.data.set([rgb >> 16, (rgb >> 8) & 255, rgb & 255, 255], 4 * (y * width + x));
    }
  }
  context.putImageData(picture, x1, y1);
}

/** Points and boxes, and the box that is being drawn. */
function showMarks() {
  if (!drawing || !stage.marks) return;
  const size = 5.5 / stage.scale;
  const draft = tool === "box" && started ? [corners(started, last)] : [];
  stage.marks.replaceChildren(
    ...drawing.boxes.flatMap((box) => boxShapes([box.x1, box.y1, box.x2, box.y2], classOf(box.label).colour)),
    ...draft.flatMap((box) => boxShapes(box, classOf(label).colour)),
    ...drawing.points.flatMap((point) => {
      const at = { cx: point.x + .5, cy: point.y + .5 };
      const dot = shape("circle", { ...at, r: size, class: "dot" });
      dot.style.fill = classOf(point.label).colour;
      return [dot];
    }));
}

/** Show what a change did; ``part`` of the strokes is redrawn. */
function changed(part = null) {
  if (part) paint(part);
  showMarks();
  const { points, boxes, pixels } = drawing.count();
  const several = (count, name) => `${count.toLocaleString("en")} ${name}${count === 1 ? "" : name.endsWith("x") ? "es" : "s"}`;
  find("#counts").textContent = `${several(points, "point")}, ${several(boxes, "box")}, ${several(pixels, "pixel")} of scribbles.${drawing.stale ? " Changed elsewhere, so that this is not saved: open the image again." : drawing.changed ? " Not saved yet." : ""}`;
  find("#undo").disabled = !drawing.done.length;
  find("#redo").disabled = !drawing.undone.length;
  find("#clear").disabled = !points && !boxes && !pixels && !drawing.noObject;
  find("#save").disabled = !isChanged();
  find("#no-object").checked = drawing.noObject && !boxes;
  find("#no-object").disabled = boxes > 0;
}

function undo() { if (drawing.done.length) changed(drawing.undo()); }

function redo() { if (drawing.undone.length) changed(drawing.redo()); }

function clear() { changed(drawing.clear()); }

function corners([ax, ay], [bx, by]) {
  const within = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
  return [within(Math.min(ax, bx), drawing.width), within(Math.min(ay, by), drawing.height), within(Math.max(ax, bx), drawing.width), within(Math.max(ay, by), drawing.height)];
}

function down(event) {
  if (!drawing || tool === "look" || event.button || started) return;
  event.preventDefault();
  find("#frame").focus({ preventScroll: true });
  stage.element.setPointerCapture(event.pointerId);
  started = last = stage.place(event);
  drawing.begin();
  if (tool === "point") drawing.points = [...drawing.points, pixel(started)];
  else if (tool === "scribble") paint(drawing.stroke(started, started, radius(), label));
  else if (tool === "erase" && !eraseMark(started)) paint(drawing.stroke(started, started, radius(), UNLABELLED));
  showMarks();
}

function pixel([x, y]) {
  return { label, x: Math.min(Math.max(Math.floor(x), 0), drawing.width - 1), y: Math.min(Math.max(Math.floor(y), 0), drawing.height - 1) };
}

function move(event) {
  if (!started) return;
  const strokes = tool === "scribble" || tool === "erase";
  const parts = strokes ? event.getCoalescedEvents?.() ?? [] : []; // where it was since the last time, for fast strokes
  for (const one of parts.length ? parts : [event]) {
    const place = stage.place(one);
    if (strokes) paint(drawing.stroke(last, place, radius(), tool === "erase" ? UNLABELLED : label));
    last = place;
  }
  showMarks();
}

function up(event) {
  if (!started) return;
  if (tool === "box" && event.type === "pointerup") addBox();
  started = null;
  drawing.end();
  changed();
}

function addBox() {
  const [x1, y1, x2, y2] = corners(started, last);
  if (x2 - x1 < SMALLEST || y2 - y1 < SMALLEST || !label) return;
  drawing.boxes = [...drawing.boxes, { label, x1, y1, x2, y2 }];
}

/** Remove the point or the box whose border is here; whether there was one. */
function eraseMark([x, y]) {
  const reach = REACH / stage.scale;
  const point = drawing.points.findLast((one) => Math.hypot(one.x + .5 - x, one.y + .5 - y) <= reach);
  if (point) drawing.points = drawing.points.filter((one) => one !== point);
  const near = (value, ...sides) => sides.some((side) => Math.abs(value - side) <= reach);
  const inside = ({ x1, y1, x2, y2 }, slack) => x >= x1 - slack && x <= x2 + slack && y >= y1 - slack && y <= y2 + slack;
  const box = !point && drawing.boxes.findLast((one) => inside(one, reach) && (near(x, one.x1, one.x2) || near(y, one.y1, one.y2)));
  if (box) drawing.boxes = drawing.boxes.filter((one) => one !== box);
  return Boolean(point || box);
}

/** Save what is drawn, once at a time. Whether all is saved. */
export async function save() {
  if (saving) await saving;
  if (!isChanged()) return true;
  const [target, count, id] = [drawing, drawing.done.length, image];
  const body = JSON.stringify(target.plain());
  saving = ask("drawing", { set: state.set, id }, { method: "PUT", body, headers: { "content-type": "application/json" } }).catch((error) => error);
  const answer = await saving;
  saving = null;
  if (answer instanceof Error) {
    say(answer.message, true);
    target.stale = answer.status === CONFLICT;
    if (target === drawing) changed();
    return false;
  }
  target.version = answer.version;
  target.saved = count;
  say(`Labels of ${id} are saved.`);
  if (target === drawing) changed();
  return true;
}

/** A key of the tools; whether it was one. */
export function drawKey(event) {
  if (!drawing) return false;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    const work = { z: event.shiftKey ? redo : undo, y: redo, s: save }[key];
    work?.();
    return Boolean(work);
  }
  const named = Object.entries(TOOLS).find(([, [, letter]]) => letter === key);
  if (named) choose(named[0]);
  else if (/^[0-9]$/.test(key) && Number(key) <= dataSet().classes.length) pick(Number(key));
  else if (key === "," || key === ".") {
    find("#brush").value = Number(find("#brush").value) + (key === "." ? 2 : -2);
    showBrush();
  } else return false;
  return true;
}
