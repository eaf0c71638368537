"use strict";
// The data of the page, small helpers, and the state: what is filtered, sorted and open, kept in the address.

const report = JSON.parse(document.getElementById("report-data").textContent);
const find = (selector, parent = document) => parent.querySelector(selector);

/** A new element; attributes whose value is null, undefined or false are left out. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function fillSelect(select, options) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
}

// In the address as #split=...&class=...; a key at its default is left out.
const defaults = { split: "", class: "", sort: "", by: "", hide: "", blend: "55", lines: "1", view: "", column: "" };
const state = { ...defaults };
const listeners = [];

function readAddress() {
  const given = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  for (const key of Object.keys(defaults)) state[key] = given.get(key) ?? defaults[key];
}

function writeAddress() {
  const kept = Object.entries(state).filter(([key, value]) => value !== defaults[key]);
  const hash = new URLSearchParams(kept).toString();
  if (hash !== location.hash.slice(1)) history.replaceState(null, "", "#" + hash);
}

/** Change some of the state, and tell whoever listens which keys changed. */
function change(changes) {
  const changed = Object.keys(changes).filter((key) => state[key] !== changes[key]);
  Object.assign(state, changes);
  writeAddress();
  if (changed.length) for (const listener of listeners) listener(new Set(changed));
}

window.addEventListener("hashchange", () => {
  if (!location.hash.includes("=") && location.hash !== "") return; // a link to a section
  readAddress();
  for (const listener of listeners) listener(new Set(Object.keys(defaults)));
});

readAddress();
