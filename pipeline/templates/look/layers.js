// Which layers lie over the image: what the book made of it, and what a network has just predicted.

import { address, chip, classOf, element, find, state, swatch } from "./base.js";

let stage, id = "", layers = [], drawn = () => [];
let chosen = null; // keys that are shown; null until somebody chooses
const mapOf = new Map(); // layer -> class of the map that is shown
const PREFERRED = ["predicted", "masks/", "supervision/", "cams/"];

export function setUp(theStage) {
  stage = theStage;
  find("#blend").addEventListener("input", ({ target }) => document.documentElement.style.setProperty("--blend", Number(target.value) / 100));
  find("#lines").addEventListener("change", ({ target }) => document.documentElement.classList.toggle("no-lines", !target.checked));
}

/** The layers of an image. One of a prediction has its pictures with it, the others are asked for when shown. */
export function start(theId, theLayers) {
  id = theId;
  layers = theLayers;
  show();
}

/** Put the layers of a prediction before the others and show the first, in place of an earlier prediction. */
export function addPrediction(made) {
  layers = [...made, ...layers.filter(({ key }) => !key.startsWith("predicted"))];
  chosen = new Set([made[0].key]);
  show();
}

const classOfLayer = (layer, label) => layer.names?.get(label) ?? classOf(label);

function shownKeys() {
  if (chosen) return chosen;
  const first = PREFERRED.map((start) => layers.findLast(({ key }) => key.startsWith(start))).find(Boolean);
  return new Set(first ? [first.key] : []);
}

function toggle(key, on) {
  chosen = new Set(shownKeys());
  if (on) chosen.add(key);
  else chosen.delete(key);
  show();
}

/** The class whose map of a CAM is shown: the one that was picked, or the first. */
const mapClass = (layer) => (layer.classes.includes(mapOf.get(layer.key)) ? mapOf.get(layer.key) : layer.classes[0]);

function pictures(layer) {
  if (layer.pictures) return layer.pictures;
  const query = { set: state.set, id, key: layer.key };
  if (layer.heat) return layer.classes.length ? [{ kind: "layer heat", address: address("layer", { ...query, part: "fill", label: mapClass(layer) }) }] : [];
  return [{ kind: "layer", address: address("layer", { ...query, part: "fill" }) }, ...(layer.classes.length ? [{ kind: "outline", address: address("layer", { ...query, part: "line" }) }] : [])];
}

function row(layer) {
  const on = shownKeys().has(layer.key);
  const maps = layer.heat && on && layer.classes.length > 1 && !layer.pictures
    ? element("div", { class: "maps", role: "group", "aria-label": `Class of ${layer.title} ${layer.name}` }, ...layer.classes.map((label) =>
      element("button", { type: "button", "aria-pressed": String(label === mapClass(layer)), onclick: () => { mapOf.set(layer.key, label); show(); } }, classOf(label).name)))
    : null;
  const one = layer.heat && layer.classes.length === 1 ? ` of ${classOf(layer.classes[0]).name}` : "";
  return element("div", { class: "row" },
    element("label", {}, element("input", { type: "checkbox", "data-layer": layer.key, checked: on, onchange: ({ target }) => toggle(layer.key, target.checked) }),
      element("span", {}, `${layer.title}${one} `, element("span", { class: "name" }, layer.name === layer.key ? "" : layer.name))),
    maps);
}

function show() {
  const keys = shownKeys();
  const shown = layers.filter(({ key }) => keys.has(key));
  const focused = document.activeElement?.dataset?.layer;
  find("#layers").replaceChildren(...(layers.length ? layers.map(row) : [element("p", { class: "note" }, "Nothing has been made of this image yet.")]));
  if (focused) document.querySelectorAll("#layers input").forEach((one) => { if (one.dataset.layer === focused) one.focus(); });
  stage.showLayers(shown.toReversed().flatMap(pictures), shown.flatMap(({ boxes }) => boxes.map(([x1, y1, x2, y2, label]) => ({ corners: [x1, y1, x2, y2], colour: classOf(label).colour }))));
  find("#heat-scale").hidden = !shown.some(({ heat }) => heat);
  const classes = new Map(shown.filter(({ heat }) => !heat).flatMap((layer) => layer.classes.map((label) => [label, classOfLayer(layer, label)])));
  find("#legend").replaceChildren(...[...classes].sort(([a], [b]) => a - b).map(([, one]) => chip(one)));
}
