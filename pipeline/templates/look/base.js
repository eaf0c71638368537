// What every part of the page shares: elements, requests, messages, and the state that is kept in the address:
// the filters, `at` (where the page of images begins), and the `id` of the open image.

export const find = (selector, parent = document) => parent.querySelector(selector);

/** A new element; attributes whose value is null, undefined or false are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function fillSelect(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0]?.[0] ?? "";
}

/** The address of something of the server, relative to the page's own, which has the token. */
export const address = (path, query = {}) => `api/${path}?${new URLSearchParams(query)}`;

/** Ask the server; an Error with its message where it refuses. */
export async function ask(path, query = {}, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path, query), options);
  } catch {
    throw new Error("The server does not answer. Was it ended? Start it again, and open the address that it prints.");
  }
  if (answer.ok) return answer.json();
  const text = await answer.text();
  let message = text;
  try {
    message = JSON.parse(text).error;
  } catch { /* plain text, of the guard */ }
  throw Object.assign(new Error(message), { status: answer.status });
}

let quiet = 0;

/** A message at the foot of the page, for some seconds; one that is bad or is to stay, until the next. */
export function say(text, bad = false, stay = bad) {
  const place = find("#say");
  place.textContent = text;
  place.classList.toggle("bad", bad);
  place.hidden = !text;
  clearTimeout(quiet);
  if (!stay) quiet = setTimeout(() => { place.hidden = true; }, 4000);
}

/** Do something, and show what goes wrong. */
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message, true);
    return null;
  }
}

const DEFAULTS = { set: "", split: "", tag: "", find: "", drawn: "", at: "0", id: "" };
export const state = { ...DEFAULTS };

export function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(DEFAULTS)) state[key] = given.get(key) ?? DEFAULTS[key];
}

/** Change some of the state; an image that is opened or closed is a step that the browser's Back undoes. */
export function change(changes) {
  const step = "id" in changes && !changes.id !== !state.id;
  Object.assign(state, changes);
  const kept = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  const hash = `#${new URLSearchParams(kept)}`;
  if (hash !== location.hash) history[step ? "pushState" : "replaceState"](null, "", hash);
}

export const overview = {};

/** The data set that is looked at. */
export const dataSet = () => overview.sets.find(({ name }) => name === state.set);

/** A class of the data set: 0 is background. */
export function classOf(label) {
  return label ? dataSet()?.classes[label - 1] ?? { name: `class ${label}`, colour: "#888888" } : { name: "background", colour: "#15181c" };
}

/** A patch of a colour; styles come from scripts, since the page's policy allows none in its text. */
export function swatch(colour) {
  const made = element("i", { class: "swatch" });
  made.style.background = colour ?? "transparent";
  return made;
}

export const chip = ({ name, colour }) => element("span", { class: "chip" }, swatch(colour), name);

/** Whether a key was pressed where one writes. */
export const writing = ({ target }) => target.matches?.("input:not([type=range]):not([type=checkbox]), select, textarea");
