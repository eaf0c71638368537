// Labels that could not be saved, kept in the browser until they are: the server had ended, or the page was left.

import { ask, overview, say } from "./base.js";

const key = (set, id) => JSON.stringify(["weak2mask", overview.place, set, id]);

/** Whether the browser could keep it. */
export function keep(set, id, plain) {
  try {
    localStorage.setItem(key(set, id), JSON.stringify(plain));
    return true;
  } catch {
    return false; // it is full, or private
  }
}

export const drop = (set, id) => localStorage.removeItem(key(set, id));

/** What is kept of an image, as the server wants it; null for nothing. */
export function kept(set, id) {
  const text = localStorage.getItem(key(set, id));
  return text && JSON.parse(text);
}

function all() {
  const keys = Object.keys(localStorage).filter((one) => one.startsWith('["weak2mask",'));
  return keys.map((one) => JSON.parse(one)).filter(([, place]) => place === overview.place).map(([, , set, id]) => [set, id]);
}

export const put = (set, id, plain) => ask("drawing", { set, id }, { method: "PUT", body: JSON.stringify(plain), headers: { "content-type": "application/json" } });

/** Save what was left behind; what changed elsewhere meanwhile stays until its image is opened. */
export async function saveAll() {
  const [done, left] = [[], []];
  for (const [set, id] of all()) {
    try {
      await put(set, id, kept(set, id));
      drop(set, id);
      done.push(id);
    } catch {
      left.push(id);
    }
  }
  const told = [
    done.length ? `Saved now, what had not been saved: ${done.join(", ")}.` : "",
    left.length ? `Not saved yet, and to be looked at: ${left.join(", ")}.` : ""].filter(Boolean);
  if (told.length) say(told.join("\n"), left.length > 0, true);
}
