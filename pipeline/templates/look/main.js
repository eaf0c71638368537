// Begins the page: all images, one image, and the keys of both.

import { address, ask, change, dataSet, element, find, overview, readAddress, say, state, trying, writing } from "./base.js";
import * as browse from "./browse.js";
import * as draw from "./draw.js";
import * as layers from "./layers.js";
import * as predict from "./predict.js";
import * as use from "./use.js";
import { saveAll } from "./drafts.js";
import { Stage } from "./stage.js";

const stage = new Stage();
let opening = 0;
let place = 0; // of the open image in its split

async function begin() {
  const given = await trying(() => ask("overview"));
  if (!given) return;
  Object.assign(overview, given);
  document.title = find("#title").textContent = overview.title;
  find("#heat-scale i").style.background = `linear-gradient(to right, ${overview.heat})`;
  draw.setUp(stage);
  layers.setUp(stage);
  predict.setUp(openDropped);
  browse.onOpen(openImage);
  browse.listen();
  find("#close").addEventListener("click", close);
  find("#image-previous").addEventListener("click", () => step(true));
  find("#image-next").addEventListener("click", () => step(false));
  use.listen(draw.save);
  addEventListener("keydown", key);
  addEventListener("keyup", ({ key: name }) => { if (name === " ") stage.element.classList.remove("plain"); });
  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);
  new ResizeObserver(([{ target }]) => document.documentElement.style.setProperty("--top", `${target.offsetHeight}px`)).observe(find(".top"));
  await saveAll();
  await follow();
}

/** Show what the address says. */
async function follow() {
  readAddress();
  if (!dataSet()) change({ set: (overview.sets.find(({ problem }) => !problem) ?? overview.sets[0])?.name ?? "" });
  browse.fillFilters();
  if (state.id) await openImage(state.id);
  else {
    showBrowse();
    await browse.showPage();
  }
}

function showBrowse() {
  opening += 1;
  find("#open").hidden = true;
  find("#browse").hidden = find("#filters").hidden = false;
  draw.start("", [1, 1], null);
}

async function openImage(id) {
  const turn = ++opening;
  if (!(await draw.save())) return;
  const image = await trying(() => ask("image", { set: state.set, split: state.split, id }));
  if (turn !== opening) return;
  if (!image) {
    change({ id: "" });
    showBrowse();
    await browse.showPage();
    return;
  }
  change({ id });
  place = image.at ?? 0;
  present(id, address("photo", { set: state.set, id }), image.size, browse.tagChips(image.tags), address("photo", { set: state.set, id, whole: "1" }));
  layers.start(id, image.layers);
  predict.start({ id });
  draw.start(id, image.size, image.drawing);
  if (image.problems.length) say(image.problems.join("\n"), true);
}

/** An image that is no part of the book: nothing can be drawn on it. */
async function openDropped(file, result) {
  opening += 1;
  if (!(await draw.save())) return false;
  change({ id: "" });
  present(file.name, result.photo, result.size, [element("span", { class: "note" }, "not part of the data set")]);
  layers.start("", []);
  predict.start({ file });
  draw.start("", result.size, null);
  return true;
}

/** @param whole address of the photo with all its pixels; without it, `photo` is all there is. */
function present(name, photo, size, tags, whole = null) {
  find("#browse").hidden = find("#filters").hidden = true;
  find("#open").hidden = false;
  find("#image-title").textContent = name;
  find("#image-tags").replaceChildren(...tags);
  find(".move").hidden = !state.id;
  stage.show(photo, size, name, whole);
  find("#frame").focus({ preventScroll: true });
}

async function close() {
  if (!(await draw.save())) return;
  const { id } = state;
  change({ id: "" });
  showBrowse();
  await (id ? browse.showPageOf(id, place) : browse.showPage());
}

/** The image before or after this one, among those that the filters let through. */
async function step(back) {
  const at = place + (back ? -1 : 1);
  if (!state.id || at < 0) return;
  const found = await trying(() => browse.search(at, { back, count: 1 }));
  const next = found?.items[0];
  if (next && (back ? next.at <= at : next.at >= at)) await openImage(next.id);
  else if (found) say(back ? "This is the first image." : "This is the last image.");
}

function key(event) {
  if (writing(event) || find("#use").open) return;
  if (find("#open").hidden) {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) browse.browseKey(event);
    return;
  }
  const slider = event.target.matches?.("input[type=range]");
  const pressing = event.target.matches?.("button, input, summary");
  if (draw.drawKey(event)) event.preventDefault();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key === "Escape") close();
  else if (!slider && event.key === "ArrowRight") step(false);
  else if (!slider && event.key === "ArrowLeft") step(true);
  else if (event.key === "+" || event.key === "=") stage.zoomBy(1);
  else if (event.key === "-") stage.zoomBy(-1);
  else if (event.key === "Home") stage.zoomBy(-9);
  else if (event.key === " " && !pressing) {
    event.preventDefault();
    stage.element.classList.add("plain");
  }
}

begin();
