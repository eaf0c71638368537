"use strict";
// One picture large: arrows go through the columns and the images, the place on the screen stays the same.

const viewer = find("#viewer");

/** The row and column that are open, or null. */
function opened() {
  const row = report.rows.find((one) => keyOf(one) === state.view);
  if (!row) return null;
  const columns = columnsOf(row);
  return { row, columns, at: Math.max(0, columns.findIndex(({ key }) => key === state.column)) };
}

function showViewer() {
  const open = opened();
  if (!open) {
    if (viewer.open) viewer.close();
    return;
  }
  const { row, columns, at } = open;
  const iou = percent(iouOf(row, columns[at].by));
  const place = matches.indexOf(row) + 1;
  find("#viewer-title").textContent = [columns[at].title, columns[at].name].filter(Boolean).join(": ");
  find("#viewer-what").textContent = [row.id, place ? `image ${place} of ${matches.length}` : "", iou ? `IoU ${iou}` : ""].filter(Boolean).join(" · ");
  find("#viewer-classes").replaceChildren(...legend(row, columns[at]));
  find("#viewer-picture").replaceChildren(sized(row, columns[at]));
  if (viewer.open) return;
  viewer.showModal();
  find("#viewer-picture").focus(); // and not the slider, which would take the arrow keys
}

/** The classes of the picture: buttons for a CAM's, the legend of a mask's. */
function legend(row, column) {
  const layer = layerOf(row, column.key);
  if (layer?.heat) return [heatToggles(row, refresh) ?? chip(layer.classes[0])];
  return (layer?.classes ?? row.present).map(chip);
}

/** The picture as large as fits, whatever its shape. */
function sized(row, column) {
  const made = stack(row, column, false);
  const [width, height] = row.size;
  made.style.width = `min(100%, calc((100dvh - 11rem) * ${width / height}))`;
  return made;
}

function refresh() {
  showViewer();
  const row = opened().row;
  [...document.querySelectorAll("article")].find(({ dataset }) => dataset.key === keyOf(row))?.replaceWith(article(row));
}

function step(columns, rows) {
  const open = opened();
  if (!open) return;
  const around = (value, count) => (value + count) % count;
  const row = rows && matches.length ? matches[around(Math.max(0, matches.indexOf(open.row)) + rows, matches.length)] : open.row;
  const column = columns ? open.columns[around(open.at + columns, open.columns.length)].key : state.column;
  change({ view: keyOf(row), column });
}

function nextClass() {
  const { row } = opened();
  const { labels, label } = heatClass(row);
  if (labels.length > 1) {
    chosenClass.set(row, labels[(labels.indexOf(label) + 1) % labels.length]);
    refresh();
  }
}

const keys = {
  ArrowLeft: () => step(-1, 0),
  ArrowRight: () => step(1, 0),
  ArrowUp: () => step(0, -1),
  ArrowDown: () => step(0, 1),
  c: nextClass,
};

function startViewer() {
  viewer.addEventListener("keydown", (event) => {
    const slides = event.target.type === "range"; // arrows move the slider
    if (event.key === " " && !event.target.closest("button, input")) {
      viewer.classList.add("plain");
      event.preventDefault();
    } else if (keys[event.key] && !slides && !event.ctrlKey && !event.metaKey && !event.altKey) {
      keys[event.key]();
      event.preventDefault();
    }
  });
  viewer.addEventListener("keyup", (event) => event.key === " " && viewer.classList.remove("plain"));
  viewer.addEventListener("close", () => {
    viewer.classList.remove("plain");
    const row = opened()?.row;
    change({ view: "", column: "" });
    if (row) [...document.querySelectorAll("article")].find(({ dataset }) => dataset.key === keyOf(row))?.querySelector("button")?.focus();
  });
  find("#viewer-close").addEventListener("click", () => viewer.close());
  find("#viewer-left").addEventListener("click", () => step(-1, 0));
  find("#viewer-right").addEventListener("click", () => step(1, 0));
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  listeners.push((changed) => (changed.has("view") || changed.has("column")) && showViewer());
  showViewer();
}

if (report.rows?.length) startViewer();
