// All images: a page of thumbnails at a time, filtered by split, tag, name and whether labels are drawn.

import { ask, address, change, chip, dataSet, element, fillSelect, find, overview, state, trying } from "./base.js";

const COUNT = 60;
const MOST_ROUNDS = 60; // of a filter that finds nothing, 20,000 images each
let pages = { next: null, previous: null };
let asked = 0;

export function fillFilters() {
  const set = dataSet();
  fillSelect(find("#set"), overview.sets.map(({ name }) => [name, name]), state.set);
  find("#set-label").hidden = overview.sets.length < 2;
  fillSelect(find("#split"), set.splits.map(({ name, images }) => [name, `${name} (${images.toLocaleString("en")})`]), state.split);
  fillSelect(find("#tag"), [["", "any"], ...set.classes.map(({ name }, at) => [String(at + 1), name])], state.tag);
  find("#drawn").value = state.drawn;
  find("#find").value = state.find;
  change({ split: find("#split").value, tag: find("#tag").value });
}

/** What the server is asked for: the filters, and where to begin. */
export function query(at, more = {}) {
  const filters = Object.fromEntries(["tag", "find", "drawn"].filter((key) => state[key]).map((key) => [key, state[key]]));
  return { set: state.set, split: state.split, at, ...filters, ...more };
}

/** A page from a position on, looking further where a filter has found nothing yet. */
export async function search(at, { back = false, count = COUNT } = {}, going = () => true) {
  let found = null;
  for (let round = 0; round < MOST_ROUNDS && at !== null && going(); round += 1) {
    found = await ask("page", query(at, { count, ...(back ? { back: "1" } : {}) }));
    if (found.items.length) return found;
    at = back ? found.previous : found.next;
  }
  return found;
}

function thumbnail({ id, at, tags, drawn }) {
  const classes = tags.map((label) => dataSet().classes[label - 1].name).join(", ");
  return element("button", { type: "button", class: "thumb", "data-id": id, "data-at": at, title: classes ? `${id}: ${classes}` : id, onclick: () => openImage(id) },
    element("img", { src: address("thumbnail", { set: state.set, id }), alt: "", loading: "lazy", decoding: "async", width: 160, height: 136 }),
    element("span", {}, id),
    drawn ? element("b", { class: "mark" }, "drawn") : null);
}

let openImage = () => {};
export const onOpen = (listener) => { openImage = listener; };

export async function showPage({ back = false } = {}) {
  const set = dataSet();
  const notice = find("#notice");
  notice.hidden = !set.problem;
  notice.textContent = set.problem ?? "";
  const turn = ++asked;
  const at = Number(state.at);
  const found = set.problem || !set.splits.length ? null : await trying(() => search(at, { back }, () => turn === asked));
  if (turn !== asked) return;
  pages = found ?? { next: null, previous: null, items: [], total: 0 };
  find("#grid").replaceChildren(...pages.items.map(thumbnail));
  if (!pages.items.length && !set.problem) find("#grid").append(element("p", { class: "note" }, "No image matches."));
  if (pages.items.length) change({ at: String(pages.items[0].at) });
  find("#position").value = Number(state.at) + 1;
  find("#position").max = Math.max(1, pages.total);
  find("#total").textContent = `of ${pages.total.toLocaleString("en")}`;
  find("#drawn-count").textContent = pages.drawn ? `${pages.drawn.toLocaleString("en")} of ${pages.total.toLocaleString("en")} images drawn` : "";
  find("#previous").disabled = pages.previous === null;
  find("#next").disabled = pages.next === null;
}

/** Show the page that an image is on: the one that was left, where it is there still. */
export async function showPageOf(id, place) {
  const thumb = () => [...document.querySelectorAll("#grid .thumb")].find(({ dataset }) => dataset.id === id);
  await showPage();
  if (!thumb()) {
    change({ at: String(place) });
    await showPage();
  }
  thumb()?.focus();
}

export async function turnPage(back) {
  const at = back ? pages.previous : pages.next;
  if (at === null) return;
  change({ at: String(at) });
  await showPage({ back });
  scrollTo(0, 0);
  find("#grid .thumb")?.focus({ preventScroll: true });
}

/** Arrows go through the grid as it is laid out. */
function moveFocus(event) {
  const all = [...document.querySelectorAll("#grid .thumb")];
  const at = all.indexOf(document.activeElement);
  if (!all.length) return;
  const columns = all.filter(({ offsetTop }) => offsetTop === all[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  (at < 0 ? all[0] : all[Math.min(Math.max(at + step, 0), all.length - 1)]).focus();
}

export function browseKey(event) {
  if (event.key === "PageDown" || event.key === "PageUp") {
    event.preventDefault();
    turnPage(event.key === "PageUp");
  } else moveFocus(event);
}

export function listen() {
  const filter = (key) => ({ target }) => { change({ [key]: target.value, at: "0" }); showPage(); };
  for (const key of ["split", "tag", "drawn"]) find(`#${key}`).addEventListener("change", filter(key));
  find("#find").addEventListener("input", filter("find"));
  find("#set").addEventListener("change", ({ target }) => {
    change({ set: target.value, split: "", tag: "", at: "0" });
    fillFilters();
    showPage();
  });
  find("#position").addEventListener("change", ({ target }) => { change({ at: String(Math.max(0, Math.floor(Number(target.value) || 1) - 1)) }); showPage(); });
  find("#previous").addEventListener("click", () => turnPage(true));
  find("#next").addEventListener("click", () => turnPage(false));
}

export function tagChips(tags) {
  return tags === null ? [element("span", { class: "note" }, "not tagged")] : tags.map((label) => chip(dataSet().classes[label - 1]));
}
