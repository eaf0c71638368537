// What to do with the labels that are drawn: how many there are, and the ways to learn from them.

import { ask, dataSet, element, find, say, state, trying } from "./base.js";

let chosen = ""; // title of the way; nobody is asked twice

export function listen(save) {
  find("#use-open").addEventListener("click", async () => { if (await save()) await show(); });
  find("#use-close").addEventListener("click", () => find("#use").close());
}

async function show() {
  const use = await trying(() => ask("use", { set: state.set, split: state.split }));
  if (!use) return;
  const there = use.counts.filter(({ images }) => images);
  find("#use-body").replaceChildren(
    element("p", { id: "use-count" }, use.drawn ? `${use.drawn} of ${use.total} images${dataSet().splits.length > 1 ? ` of ${state.split}` : ""} are drawn.` : "Nothing is drawn yet. Open an image, choose a tool and a class, and draw."),
    element("ul", {}, ...there.map(({ kind, file, images, entry }) => element("li", {}, `${kind} on ${images}, in `, element("code", {}, file), entry ? `, read by import_annotations.${entry}` : ""))),
    ...use.refusing.map((name) => element("p", { class: "notice" }, `import_annotations.${name} refuses images without labels. Write what they are into its options: `, element("code", {}, "unannotated: left_out"), ", ", element("code", {}, "unlabelled"), " (they have their tags) or ", element("code", {}, "background"), " (they have no object).")),
    ...(use.ways.length > 1 ? [question(use), element("div", { id: "way" })] : use.ways.flatMap((way) => howTo(way, use.file))));
  if (use.ways.length > 1) pick(use, use.ways.find(({ title }) => title === chosen));
  find("#use").showModal();
}

/** Each way as a choice: none is taken for granted. */
function question(use) {
  const asked = `How to learn from them?${use.drawn < use.total ? ` The other ${use.total - use.drawn} images have no label.` : ""}`;
  return element("fieldset", {}, element("legend", {}, asked), ...use.ways.map((way) =>
    element("label", { class: "choice" },
      element("input", { type: "radio", name: "way", value: way.title, checked: way.title === chosen, onchange: () => pick(use, way) }),
      element("span", {}, element("b", {}, way.title), ` ${way.note}`))));
}

function pick(use, way) {
  chosen = way?.title ?? chosen;
  find("#way").replaceChildren(...(way ? howTo(way, use.file) : []));
}

function howTo({ lines, commands }, file) {
  const where = file.endsWith("book.yaml") ? ["Put this at the end of ", element("code", {}, file), ":"] : ["Add this to ", element("code", {}, file), ", each part below its key where that is there already:"];
  return [
    ...(lines ? [element("p", {}, ...where), copyable(lines, "lines")] : []),
    element("p", {}, lines ? "Then run:" : "Run:"), copyable(commands.join("\n"), "commands")];
}

function copyable(text, what) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(block); // no clipboard for pages without https on other machines
      say("Press Ctrl+C to copy what is marked.");
    }
  };
  const block = element("pre", { class: what }, text);
  return element("div", { class: "copyable" }, block, element("button", { type: "button", onclick: copy, "aria-label": `Copy the ${what}` }, "Copy"));
}
