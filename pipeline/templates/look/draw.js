// The tools: click points, draw scribbles and boxes, erase, undo, save.

import { ask, classOf, dataSet, element, find, say, state, swatch, trying } from "./base.js";
import * as brush from "./brush.js";
import * as drafts from "./drafts.js";
import { Drawing, UNLABELLED } from "./drawing.js";
import { boxShapes, shape } from "./stage.js";

const TOOLS = { look: ["Look", "v"], point: ["Point", "p"], scribble: ["Scribble", "s"], box: ["Box", "b"], erase: ["Erase", "e"] };
const REACH = 8; // pixels of the screen within which a mark is hit
const CONFLICT = 409; // the labels changed since the page read them
const SMALLEST = 2; // pixels of a box's side
const PAUSE = 1500; // milliseconds after the last change, until it is saved
const MANY = 9; // classes; more of them have a field to find one

let stage, drawing = null, image = "", tool = "look", label = 1, last = null, started = null, saving = null, waiting = 0, theirs = null;
let home = { set: "", split: "" }; // of the image: the address may name another already

export function setUp(theStage) {
  stage = theStage;
  stage.onScale = showMarks;
  find("#tools").replaceChildren(...Object.entries(TOOLS).map(([key, [name, letter]]) =>
    element("button", { type: "button", "data-tool": key, title: `${name} (${letter})`, onclick: () => choose(key) }, name)));
  for (const [event, listener] of [["pointerdown", down], ["pointermove", move], ["pointerup", up], ["pointercancel", up]]) stage.element.addEventListener(event, listener);
  for (const [id, work] of [["undo", undo], ["redo", redo], ["clear", clear], ["save", save]]) find(`#${id}`).addEventListener("click", work);
  brush.setUp(stage);
  find("#no-object").addEventListener("change", ({ target }) => {
    drawing.begin();
    drawing.noObject = target.checked;
    drawing.end();
    changed();
  });
  find("#find-class").addEventListener("input", findClass);
  find("#find-class").addEventListener("keydown", ({ key }) => {
    if (key === "Enter") find("#classes button:not([hidden])")?.click();
    if (key === "Enter" || key === "Escape") leaveClasses();
  });
  find("#keep-mine").addEventListener("click", keepMine);
  find("#take-theirs").addEventListener("click", takeTheirs);
  addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") save(); });
  addEventListener("beforeunload", (event) => { if (isChanged() && !drafts.keep(home, image, drawing.plain())) event.preventDefault(); });
  choose("look");
}

/** Begin with what is drawn on an image, or with what could not be saved of it; null for one that cannot be drawn on. */
export function start(id, size, plain) {
  home = { set: state.set, split: state.split };
  const draft = plain && drafts.kept(home, id);
  clearTimeout(waiting);
  [image, theirs, started] = [id, null, null];
  drawing = plain && new Drawing(size, draft ?? plain);
  find("#draw-panel").hidden = !drawing;
  if (!drawing) {
    stage.marks?.replaceChildren(); // of the image before
    return;
  }
  label = Math.min(label, dataSet().classes.length);
  find("#find-class").hidden = dataSet().classes.length <= MANY;
  find("#classes").replaceChildren(...[0, ...dataSet().classes.map((_, at) => at + 1)].map((one) =>
    element("button", { type: "button", "data-label": one, title: one < 10 ? `Key ${one}` : null, onclick: () => pick(one) }, swatch(classOf(one).colour), classOf(one).name)));
  pick(label);
  brush.fit();
  if ((draft ?? plain).runs.length) paint([0, 0, drawing.width, drawing.height]);
  if (draft) drawing.saved = -1;
  changed();
  if (draft && draft.version !== plain.version) differs(plain);
}

/** Somebody else changed the labels since the page read them: nothing is written over until it is said whose count. */
function differs(plain) {
  drawing.stale = true;
  theirs = plain;
  showState();
  find("#conflict").scrollIntoView({ block: "nearest" });
}

async function keepMine() {
  drawing.version = theirs.version;
  drawing.stale = false;
  drawing.saved = -1;
  theirs = null;
  await save();
}

function takeTheirs() {
  drafts.drop(home, image);
  stage.canvas.getContext("2d").clearRect(0, 0, drawing.width, drawing.height);
  start(image, [drawing.height, drawing.width], theirs);
}

function findClass() {
  const part = find("#find-class").value.toLowerCase();
  document.querySelectorAll("#classes button").forEach((one) => { one.hidden = !one.textContent.toLowerCase().includes(part); });
}

function leaveClasses() {
  find("#find-class").value = "";
  findClass();
  find("#classes [aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
  find("#frame").focus({ preventScroll: true });
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

/** Redraw a part [x1, y1, x2, y2] of the strokes. */
function paint([x1, y1, x2, y2]) {
  const [width, height] = [x2 - x1, y2 - y1];
  if (width <= 0 || height <= 0) return;
  const picture = new ImageData(width, height);
  const pixels = new DataView(picture.data.buffer);
  const colours = Array.from({ length: 256 }, (_, one) => (one === UNLABELLED ? 0 : ((Number.parseInt(classOf(one).colour.slice(1), 16) << 8) | 255) >>> 0));
  for (let y = 0; y < height; y += 1) {
    let from = (y1 + y) * drawing.width + x1;
    for (let at = 4 * y * width; at < 4 * (y + 1) * width; at += 4, from += 1) {
      if (drawing.labels[from] !== UNLABELLED) pixels.setUint32(at, colours[drawing.labels[from]]);
    }
  }
  stage.canvas.getContext("2d").putImageData(picture, x1, y1);
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
  showState();
  clearTimeout(waiting);
  if (isChanged()) waiting = setTimeout(saveByItself, PAUSE);
  else if (drawing.stale && drawing.changed) drafts.keep(home, image, drawing.plain());
}

function saveByItself() {
  if (started) waiting = setTimeout(saveByItself, PAUSE);
  else save({ quiet: true });
}

function showState() {
  const { points, boxes, pixels } = drawing.count();
  const several = (count, name) => `${count.toLocaleString("en")} ${name}${count === 1 ? "" : name.endsWith("x") ? "es" : "s"}`;
  find("#counts").textContent = `${several(points, "point")}, ${several(boxes, "box")}, ${several(pixels, "pixel")} of scribbles.${drawing.stale ? "" : drawing.changed ? " Not saved yet." : points || boxes || pixels || drawing.noObject ? " All saved." : ""}`;
  find("#conflict").hidden = !drawing.stale;
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
  else if (tool === "scribble") paint(drawing.stroke(started, started, brush.radius(), label));
  else if (tool === "erase" && !eraseMark(started)) paint(drawing.stroke(started, started, brush.radius(), UNLABELLED));
  showMarks();
}

function pixel([x, y]) {
  return { label, x: Math.min(Math.max(Math.floor(x), 0), drawing.width - 1), y: Math.min(Math.max(Math.floor(y), 0), drawing.height - 1) };
}

function move(event) {
  brush.show(drawing && (tool === "scribble" || tool === "erase") ? event : null);
  if (!started) return;
  const strokes = tool === "scribble" || tool === "erase";
  const parts = strokes ? event.getCoalescedEvents?.() ?? [] : []; // where it was since the last time, for fast strokes
  for (const one of parts.length ? parts : [event]) {
    const place = stage.place(one);
    if (strokes) paint(drawing.stroke(last, place, brush.radius(), tool === "erase" ? UNLABELLED : label));
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

/** Save what is drawn, once at a time. Whether all is saved, or kept in the browser until it is said whose labels count. */
export async function save({ quiet = false } = {}) {
  while (saving) await saving;
  if (!isChanged()) return true;
  const [target, count, of, id] = [drawing, drawing.done.length, home, image];
  const plain = target.plain();
  saving = drafts.put(of, id, plain).catch((error) => error);
  const answer = await saving;
  saving = null;
  if (answer instanceof Error) {
    const safe = drafts.keep(of, id, plain);
    if (answer.status === CONFLICT) {
      const now = await trying(() => ask("image", { ...of, id }));
      if (target === drawing && now) differs(now.drawing);
    } else say(`${answer.message}${safe ? "\nWhat is drawn is kept in this browser, and saved when the page is opened again." : ""}`, true);
    if (target === drawing) showState();
    return false;
  }
  drafts.drop(of, id);
  target.version = answer.version;
  target.saved = count;
  if (!quiet) say(`Labels of ${id} are saved.`);
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
  else if (key === "," || key === ".") brush.change(key === "." ? 1 : -1);
  else if (key === "c" && !find("#find-class").hidden) find("#find-class").focus();
  else return false;
  return true;
}
