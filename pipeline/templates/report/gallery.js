"use strict";
// The rows of pictures: filtered by split, class and column, sorted by the IoU of an evaluation.

const BATCH = 12;
const columnOf = new Map(report.columns?.map((column) => [column.key, column]));
const splitOf = new Map(report.splits?.map((split) => [split.key, split]));
const PHOTO = { key: "photo", title: "image", name: "", by: null };
const chosenClass = new Map(); // row -> class whose heat maps it shows

const keyOf = (row) => `${row.split}/${row.id}`;
const className = (label) => report.classes[label - 1].name;
const hidden = () => new Set(state.hide ? state.hide.split(",") : []);
const percent = (iou) => (iou === null || iou === undefined ? null : iou.toFixed(1));

/** The label of the filter's class, or 0. */
const wantedClass = () => report.classes.findIndex(({ name }) => name === state.class) + 1;

/** The evaluation that judges a row: the chosen one, or its split's own. */
const judgeOf = (row) => state.by || splitOf.get(row.split).by;

/** IoU in percent of a row by an evaluation: of the filter's class, or else the mean; null where not judged. */
function iouOf(row, judge) {
  const scores = row.scores[judge];
  return scores ? (scores[wantedClass() || "mean"] ?? null) : null;
}

/** Whether a class is in the ground truth (or the tags) of a row, or in any of its columns. */
function shows(row, label) {
  return row.present.includes(label) || Object.values(row.cells).flat().some(({ classes }) => classes.includes(label));
}

function matchingRows() {
  const label = wantedClass();
  const rows = report.rows.filter((row) => (!state.split || row.split === state.split) && (!label || shows(row, label)));
  if (!state.sort) return rows;
  const sign = state.sort === "best" ? -1 : 1;
  const rank = (row) => iouOf(row, judgeOf(row)) ?? Infinity * sign; // not judged: last, either way
  return rows.map((row) => [rank(row), row]).sort(([a], [b]) => (a === b ? 0 : sign * (a - b))).map(([, row]) => row);
}

/** The columns of a row that are shown, the image first. */
function columnsOf(row) {
  const off = hidden();
  return [PHOTO, ...report.columns.filter(({ key }) => row.cells[key] && !off.has(key))];
}

/** The class whose heat map a row shows: picked, or the filter's, or the first. */
function heatClass(row) {
  const labels = [...new Set(Object.values(row.cells).flat().filter(({ heat }) => heat).flatMap(({ classes }) => classes))];
  const wanted = chosenClass.get(row) ?? wantedClass();
  return { labels, label: labels.includes(wanted) ? wanted : labels[0] };
}

/** The layer of a cell that is shown: a mask's only one, or that of a CAM's class. */
function layerOf(row, key) {
  const layers = row.cells[key] ?? [];
  return layers.find(({ heat, classes }) => !heat || classes.includes(heatClass(row).label)) ?? null;
}

/** The photograph and, over it, a layer and its outlines. */
function stack(row, column, lazy) {
  const [width, height] = row.size;
  const size = { width, height, loading: lazy ? "lazy" : null, draggable: "false" };
  const layer = layerOf(row, column.key);
  const found = layer ? layer.classes.map(className).join(", ") || "no class" : "";
  const alt = [row.id, column.title, column.name, found].filter(Boolean).join(", ");
  return element("span", { class: "stack", style: `aspect-ratio: ${width} / ${height}` },
    element("img", { src: row.photo, alt, ...size }),
    layer && element("img", { src: layer.fill, alt: "", class: layer.heat ? "layer heat" : "layer", ...size }),
    layer?.line ? element("img", { src: layer.line, alt: "", class: "line", ...size }) : null);
}

function figure(row, column) {
  const iou = percent(iouOf(row, column.by));
  const what = [column.title, column.name, "of", row.id].filter(Boolean).join(" ");
  return element("figure", { "data-column": column.key },
    element("figcaption", {}, element("b", {}, column.title), " ", element("span", { class: "name" }, column.name),
      iou ? element("span", { class: "iou", title: `IoU in percent, ${column.by}` }, iou) : null),
    element("button", { type: "button", "aria-label": `Large view: ${what}`, onclick: () => change({ view: keyOf(row), column: column.key }) },
      stack(row, column, true)));
}

function chip(label) {
  return element("span", { class: "chip" }, element("i", { style: `background: ${report.classes[label - 1].colour}` }), className(label));
}

/** The legend of a row: what is there, then what its masks show beside that. */
function chips(row) {
  const masks = columnsOf(row).flatMap(({ key }) => row.cells[key] ?? []).filter(({ heat }) => !heat);
  const extra = [...new Set(masks.flatMap(({ classes }) => classes))].filter((label) => !row.present.includes(label));
  if (!extra.length) return row.present.map(chip);
  return [...row.present.map(chip), element("span", { class: "name" }, row.present.length ? "also shown" : "shown"), ...extra.sort((a, b) => a - b).map(chip)];
}

/** Buttons that choose the class whose heat maps are shown. */
function heatToggles(row, after) {
  const { labels, label } = heatClass(row);
  if (labels.length < 2) return null;
  const pick = (chosen) => { chosenClass.set(row, chosen); after(chosen); };
  return element("span", { class: "toggles", role: "group", "aria-label": `Class of the heat maps of ${row.id}` }, "CAM of ",
    ...labels.map((one) => element("button", { type: "button", "aria-pressed": String(one === label), "data-label": one, onclick: () => pick(one) }, className(one))));
}

function article(row) {
  const judge = judgeOf(row);
  const iou = percent(iouOf(row, judge));
  const again = (label) => {
    const fresh = article(row);
    made.replaceWith(fresh);
    find(`[data-label="${label}"]`, fresh)?.focus();
  };
  const made = element("article", { "data-key": keyOf(row), "aria-label": row.id },
    element("header", {}, element("h3", {}, row.id), element("span", { class: "name" }, splitOf.get(row.split).title),
      ...chips(row), heatToggles(row, again),
      iou ? element("span", { class: "iou" }, `${state.class ? "IoU of " + state.class : "IoU"} ${iou} `, element("span", { class: "name" }, judge)) : null),
    element("div", { class: "cells" }, ...columnsOf(row).map((column) => figure(row, column))));
  return made;
}

let matches = [];
let shown = 0;

function showMore() {
  find("#rows").append(...matches.slice(shown, shown + BATCH).map(article));
  shown = Math.min(shown + BATCH, matches.length);
  find("#more").hidden = shown >= matches.length;
}

function showRows() {
  matches = matchingRows();
  shown = 0;
  const most = Math.max(2, ...matches.map((row) => columnsOf(row).length));
  find("#rows").style.setProperty("--columns", most);
  find("#rows").replaceChildren(...(matches.length ? [] : [element("p", { class: "note" }, "No image of this report matches.")]));
  find("#count").textContent = `${matches.length} of ${report.rows.length} images`;
  showMore();
}

/** Layers over the plain image, everywhere at once. */
function showBlend() {
  document.documentElement.style.setProperty("--blend", Number(state.blend) / 100);
  document.documentElement.classList.toggle("no-lines", state.lines === "0");
  for (const id of ["#blend", "#viewer-blend"]) find(id).value = state.blend;
  for (const id of ["#lines", "#viewer-lines"]) find(id).checked = state.lines !== "0";
  find("#blend-value").textContent = `${state.blend} %`;
}

function showTools() {
  for (const id of ["split", "class", "sort", "by"]) find(`#${id}`).value = state[id];
  const off = hidden();
  for (const box of document.querySelectorAll("#columns input")) box.checked = !off.has(box.value);
}

function startTools() {
  const of = ({ key, title, images }) => `${title} (${report.rows.filter((row) => row.split === key).length} of ${images})`;
  const own = report.splits.some(({ by }) => by) ? "each split's own" : "none evaluated";
  fillSelect(find("#split"), [["", "all"], ...report.splits.map((split) => [split.key, of(split)])]);
  const counts = report.classes.map(({ name }, k) => [name, report.rows.filter((row) => shows(row, k + 1)).length]);
  fillSelect(find("#class"), [["", "all"], ...counts.filter(([, count]) => count).map(([name, count]) => [name, `${name} (${count})`])]);
  fillSelect(find("#by"), [["", own], ...report.evaluations.map(({ name }) => [name, name])]);
  find("#columns fieldset").append(...report.columns.map(({ key, title, name }) =>
    element("label", {}, element("input", { type: "checkbox", value: key, onchange: hideColumns }), ` ${title} `, element("span", { class: "name" }, name))));
  for (const id of ["split", "class", "sort", "by"]) find(`#${id}`).addEventListener("change", (event) => change({ [id]: event.target.value }));
  for (const id of ["#blend", "#viewer-blend"]) find(id).addEventListener("input", (event) => change({ blend: event.target.value }));
  for (const id of ["#lines", "#viewer-lines"]) find(id).addEventListener("change", (event) => change({ lines: event.target.checked ? "1" : "0" }));
  find("#more").addEventListener("click", showMore);
  new IntersectionObserver((seen) => seen.some(({ isIntersecting }) => isIntersecting) && showMore(), { rootMargin: "600px" }).observe(find("#more"));
  addEventListener("click", (event) => { if (!event.target.closest("#columns")) find("#columns").open = false; });
}

function hideColumns() {
  const off = [...document.querySelectorAll("#columns input")].filter((box) => !box.checked).map((box) => box.value);
  change({ hide: off.join(",") });
}

function update(changed) {
  if (changed.has("blend") || changed.has("lines")) showBlend();
  if (["split", "class", "sort", "by", "hide"].some((key) => changed.has(key))) {
    if (changed.has("class")) chosenClass.clear();
    showTools();
    showRows();
  }
}

if (report.rows?.length) {
  startTools();
  listeners.push(update);
  update(new Set(Object.keys(defaults)));
}
