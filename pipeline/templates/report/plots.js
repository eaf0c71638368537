"use strict";
// Draws the figures in the colours of the page, again when it turns dark or light.

const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map(); // container -> figure
const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]] };

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Plotly's template of this page: text, grids and paper as in report.css. */
function theme() {
  const line = colour("--line");
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line, title: { font: { size: 13 }, standoff: 8 } };
  return {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") },
      colorway: [1, 2, 3, 4, 5, 6, 7, 8].map((k) => colour(`--trace-${k}`)),
      xaxis: axis,
      yaxis: axis,
      hoverlabel: { bgcolor: colour("--paper"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
      legend: { bgcolor: "rgba(0,0,0,0)" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") },
    },
  };
}

/** The figure's traces; a heat map in the colours of the page, those of confusions unevenly spaced: small ones show. */
function traces(figure) {
  const stops = figure.layout.meta === "even" ? [0, 0.2, 0.4, 0.6, 0.8, 1] : [0, 0.02, 0.1, 0.3, 0.65, 1];
  const scale = stops.map((stop, k) => [stop, colour(`--heat-${k}`)]);
  return structuredClone(figure.data).map((trace) => (trace.type === "heatmap" ? { ...trace, colorscale: scale } : trace));
}

function draw(container, figure) {
  if (!container || !figure) return;
  drawn.set(container, figure);
  container.style.minHeight = `min(${figure.layout.height}px, 85vh)`; // the page does not jump when it is drawn
  Plotly.react(container, traces(figure), { ...structuredClone(figure.layout), template: theme() }, config);
}

function redraw() {
  for (const [container, figure] of drawn) draw(container, figure);
}

function startBars() {
  const figure = report.plots.bars;
  if (!figure) return;
  if (figure.data[0].type === "heatmap") orderRows(figure);
  else orderBars(figure);
  draw(find("#bars"), figure);
}

/** A matrix of classes: its rows, the evaluations, by the IoU of a class. */
function orderRows(figure) {
  const order = find("#bars-order");
  const [{ x, y, z }] = figure.data;
  fillSelect(order, [["", "as in the book"], ...x.map((name, k) => [String(k), `by ${plain(name)}`])]);
  order.addEventListener("change", () => {
    const iou = new Map(y.map((name, k) => [name, z[k][Number(order.value)] ?? -1]));
    const sorted = order.value ? [...y].sort((a, b) => iou.get(b) - iou.get(a)) : y;
    const yaxis = { ...figure.layout.yaxis, categoryorder: "array", categoryarray: sorted };
    draw(find("#bars"), { data: figure.data, layout: { ...figure.layout, yaxis } });
  });
}

/** Bars: the classes by their IoU in an evaluation. */
function orderBars(figure) {
  const order = find("#bars-order");
  const axis = figure.data[0].orientation === "h" ? "yaxis" : "xaxis";
  const value = axis === "yaxis" ? "x" : "y";
  const label = axis === "yaxis" ? "y" : "x";
  const names = figure.layout[axis].categoryarray;
  fillSelect(order, [["", "as in the data set"], ...figure.data.map((trace, k) => [String(k), `by ${plain(trace.name)}`])]);
  order.addEventListener("change", () => {
    const trace = figure.data[Number(order.value || 0)];
    const iou = new Map(trace[label].map((name, k) => [name, trace[value][k]]));
    const sorted = order.value ? [...names].sort((a, b) => (iou.get(b) ?? -1) - (iou.get(a) ?? -1)) : names;
    const layout = { ...figure.layout, [axis]: { ...figure.layout[axis], categoryarray: sorted } };
    draw(find("#bars"), { data: figure.data, layout });
  });
}

/** A name as it was before it was made safe for Plotly. */
function plain(name) {
  return name.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function startConfusion() {
  const choice = find("#confusion-of");
  if (!choice) return;
  fillSelect(choice, report.plots.confusion.map(({ title }, k) => [String(k), title]));
  choice.value = String(report.plots.confusion.length - 1);
  const show = () => draw(find("#confusion-plot"), report.plots.confusion[Number(choice.value)]?.figure);
  choice.addEventListener("change", show);
  show();
}

function startTraining() {
  const panels = [...document.querySelectorAll("[data-training]")];
  const scale = find("#log-loss");
  const show = () => {
    for (const panel of panels) {
      const { data, layout } = report.plots.training[Number(panel.dataset.training)].figure;
      draw(panel, { data, layout: { ...layout, yaxis: { ...layout.yaxis, type: scale.checked ? "log" : "linear" } } });
    }
  };
  scale?.addEventListener("change", show);
  if (scale) show();
  draw(find("#label-prices"), report.plots.labels);
  draw(find("#sweep"), report.plots.sweep);
  draw(find("#box-curve"), report.plots.boxes);
}

startBars();
startConfusion();
startTraining();
dark.addEventListener("change", redraw);
