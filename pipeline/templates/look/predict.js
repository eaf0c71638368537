// A network's mask of the open image, or of one that was dropped.

import { ask, element, fillSelect, find, overview, say, state, swatch, trying } from "./base.js";
import { addPrediction } from "./layers.js";

const AT_WORK = "The network is at work";

let opened = null; // what is open: {set, id}, or {file}
let openDropped = () => {};

export function setUp(open) {
  openDropped = open;
  const names = overview.checkpoints;
  fillSelect(find("#checkpoint"), names.map((name) => [name, name]), names[0]);
  find("#checkpoint").hidden = find("#predict").hidden = !names.length;
  find("#file-label").hidden = !names.length;
  find("#predict").addEventListener("click", predict);
  find("#file").addEventListener("change", ({ target }) => { if (target.files[0]) dropped(target.files[0]); target.value = ""; });
  const over = (on) => (event) => {
    if (![...event.dataTransfer?.types ?? []].includes("Files")) return;
    event.preventDefault();
    find("#drop").hidden = !on;
  };
  addEventListener("dragenter", over(true));
  addEventListener("dragover", over(true));
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) find("#drop").hidden = true; });
  addEventListener("drop", (event) => {
    over(false)(event);
    const file = event.dataTransfer?.files[0];
    if (file) dropped(file);
  });
}

export function start(what) {
  opened = what;
  find("#prediction").replaceChildren(...(overview.checkpoints.length ? [] : [element("p", { class: "note" }, "No trained network that segments has been made yet.")]));
}

async function asked(work) {
  const button = find("#predict");
  button.disabled = true;
  const since = Date.now();
  const tell = () => say(`${AT_WORK} (${Math.round((Date.now() - since) / 1000)} s) …`, false, true);
  tell();
  const clock = setInterval(() => { if (find("#say").textContent.startsWith(AT_WORK)) tell(); }, 5000); // over no other message
  const result = await trying(work);
  clearInterval(clock);
  button.disabled = false;
  if (result) say("");
  return result;
}

async function dropped(file) {
  if (!overview.checkpoints.length) return say("There is no network to predict with: nothing that segments has been trained yet.", true);
  const result = await asked(() => ofFile(file));
  if (!result) return null;
  if (!(await openDropped(file, result))) return null;
  return present(result);
}

const ofFile = (file) => ask("predict", { checkpoint: find("#checkpoint").value, name: file.name }, { method: "POST", body: file, headers: { "content-type": "application/octet-stream" } });

async function predict() {
  const before = opened;
  const network = { checkpoint: find("#checkpoint").value };
  const result = await asked(() => (before.file ? ofFile(before.file) : ask("predict", { ...network, set: state.set, id: before.id }, { method: "POST" })));
  if (result && before === opened) present(result);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** The layers of a prediction, and how sure the network is of each class. */
function present(result) {
  const names = new Map(result.classes.map(({ label, name, colour }) => [label, { name, colour }]));
  const mask = [{ kind: "layer", address: result.fill }, { kind: "outline", address: result.line }].filter((one) => one.address);
  addPrediction([
    { key: "predicted", title: "Predicted now", name: result.checkpoint, heat: false, classes: [...names.keys()], boxes: [], names, pictures: mask },
    { key: "predicted unsure", title: "Unsure (1 - probability)", name: result.checkpoint, heat: true, classes: [], boxes: [], pictures: [{ kind: "layer heat", address: result.unsure }] },
  ]);
  const rows = [...result.classes, result.background].map(({ name, colour, share, score }) =>
    element("tr", {}, element("td", {}, swatch(colour), ` ${name}`), element("td", {}, percent(share)), element("td", {}, percent(score))));
  find("#prediction").replaceChildren(
    element("table", {}, element("thead", {}, element("tr", {}, ...["Class", "Pixels", "Confidence"].map((head) => element("th", { scope: "col" }, head)))), element("tbody", {}, ...rows)),
    element("p", { class: "line" }, element("a", { class: "button", id: "download", href: result.mask, download: `${result.name.split("/").pop().replace(/\.[^.]*$/, "")}.png` }, "Save the mask as PNG")),
    element("p", { class: "note" }, `${result.checkpoint}: ${result.how}. Confidence is the mean probability of the pixels of a class.`));
  find("#predict-panel").scrollIntoView({ block: "nearest" });
}
