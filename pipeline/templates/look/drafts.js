// Labels that could not be saved, kept in the browser until they are: the server had ended, or the page was left.

import { ask, overview, say } from "./base.js";

// each split may have files of its own; `of` is the set and the split of an image
const key = ({ set, split }, id) => JSON.stringify(["weak2mask", overview.place, set, id, ...(split ? [split] : [])]);

/** Whether the browser could keep it. */
export function keep(of, id, plain) {
  try {
    localStorage.setItem(key(of, id), JSON.stringify(plain));
    return true;
  } catch {
    return false; // it is full, or private
  }
}

export const drop = (of, id) => localStorage.removeItem(key(of, id));

/** What is kept of an image, as the server wants it; null for nothing. */
export function kept(of, id) {
  const text = localStorage.getItem(key(of, id));
  return text && JSON.parse(text);
}

function all() {
  const keys = Object.keys(localStorage).filter((one) => one.startsWith('["weak2mask",'));
  return keys.map((one) => JSON.parse(one)).filter(([, place]) => place === overview.place).map(([, , set, id, split]) => [{ set, ...(split ? { split } : {}) }, id]);
}

export const put = (of, id, plain) => ask("drawing", { ...of, id }, { method: "PUT", body: JSON.stringify(plain), headers: { "content-type": "application/json" } });

/** Save what was left behind; what changed elsewhere meanwhile stays until its image is opened. */
export async function saveAll() {
  const [done, left] = [[], []];
  for (const [home, id] of all()) {
    try {
      await put(home, id, kept(home, id));
      drop(home, id);
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
