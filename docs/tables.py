"""Tables of measured numbers in README.md and docs/: written from results/*.json, never typed.

``results/BOOK.json`` is what ``python -m pipeline table --json --book BOOK`` prints. A page says where a table belongs:

    <!-- results: toy evaluations -->
    <!-- end -->

and ``python docs/tables.py`` fills in what lies between. ``--check`` writes nothing and exits with 1 where a page is
stale. The first word is a book (the name of its file) or ``all``; the second a view, one of VIEWS or ALL_VIEWS below.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- results: (\w+) (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
DECIMAL = re.compile(r"(?<![\d.])\d+\.\d+(?![\d.]| [kMG]B\b)")
"""A number with a fraction: neither a version (2.13.0) nor the size of something to install."""
BEST = 3
"""Recipes of a book in the table of all books."""
TYPED = ("lab", "methods", "reference")
"""Folders of docs/ whose tables may have typed numbers: notes of one day, published constants, defaults of options."""

Content = Mapping[str, Any]
Rows = list[list[str]]


def main(arguments: Sequence[str]) -> int:
    """Write the tables into the pages, or with ``--check`` name the stale pages; returns the exit code."""
    results = read_results(ROOT / "results")
    stale = []
    for page in pages(ROOT):
        text = page.read_text(encoding="utf-8")
        if (filled := fill(text, results, page.name)) != text:
            stale.append(page.relative_to(ROOT).as_posix())
            if "--check" not in arguments:
                page.write_text(filled, encoding="utf-8")
    checking = "--check" in arguments
    sys.stdout.write(f"{'Stale' if checking else 'Written'}: {', '.join(stale) or 'nothing'}\n")
    return 1 if checking and stale else 0


def pages(root: Path) -> list[Path]:
    """README.md and every page below docs/, sorted."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def read_results(folder: Path) -> dict[str, Content]:
    """Name of the book -> content of its results file, sorted by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def fill(text: str, results: Mapping[str, Content], page: str = "") -> str:
    """The text of a page with each of its blocks written anew.

    Raises:
        SystemExit: a block names a book without a results file, or a view that there is not.
    """

    def block(match: re.Match[str]) -> str:
        begin, book, view, _, end = match.groups()
        return f"{begin}\n{_view(book, view, results, page)}\n{end}"

    return BLOCK.sub(block, text)


def _view(book: str, view: str, results: Mapping[str, Content], page: str) -> str:
    known = ALL_VIEWS if book == "all" else VIEWS
    if view not in known:
        raise SystemExit(f"{page}: expected a view of {', '.join(known)} for '{book}', found '{view}'.")
    if book == "all":
        return ALL_VIEWS[view](results)
    if book not in results:
        raise SystemExit(f"{page}: expected one of {', '.join(results)} or all, found '{book}'.")
    return VIEWS[view](results[book])


def evaluations(content: Content) -> str:
    """A row for each evaluation, as ``make run`` prints them."""
    rows = []
    for name, number in content["evaluations"].items():
        metrics, mark = number["metrics"], "†" if number["out_of_date"] else ""
        rows.append(
            [
                f"`{name}`{mark}",
                f"`{metrics['of']}`",
                number["provenance"]["list"],
                _score(metrics["miou"]),
                f"{metrics['best_threshold']:.2f}" if "best_threshold" in metrics else "",
                _score(metrics["boundary_f"]),
                _score(number["percent_of_full"]),
            ]
        )
    return _table(["evaluation", "of", "split", "mIoU", "at threshold", "boundary F", "% of full"], rows, words=3)


def recipes(content: Content) -> str:
    """A row for each recipe that has a number."""
    heads, rows = _recipe_rows(content)
    return _table(["recipe", *heads], rows, words=1)


def repeats(content: Content) -> str:
    """A row for each recipe under several seeds: mean and standard deviation."""
    rows = [
        [row["label"], row["seeds"], *(_spread(row[score]) for score in ("miou", "boundary_f"))]
        for row in content["repeats"]
    ]
    return _table(["recipe", "seeds", "mIoU", "boundary F"], rows, words=1)


def differences(content: Content) -> str:
    """A row for each comparison that the book names, and each score: the difference and its 95 % interval."""
    rows = [
        [
            each["label"] + ("" if each["up_to_date"] else "†"),
            each["against_label"],
            each["of"],
            each["score"],
            each["verdict"] or each["reason"],
            each["seeds"],
            *(("", "") if each["difference"] is None else _interval(each)),
        ]
        for each in content.get("comparisons", ())
    ]
    heads = ["recipe", "against", "of", "score", "verdict", "seeds", "difference", "95 % interval"]
    return _table(heads, rows, words=5)


def _interval(each: Content) -> tuple[str, str]:
    return f"{each['difference']:+.1f}", f"{each['low']:+.1f} to {each['high']:+.1f}"


BOXES = {
    "gt_known": "GT-known",
    "max_box_acc_v2": "MaxBoxAccV2",
    "max_box_acc_v2_30": "at IoU 30 %",
    "max_box_acc_v2_50": "50 %",
    "max_box_acc_v2_70": "70 %",
    "top1_loc": "Top-1 Loc",
}


def boxes(content: Content) -> str:
    """A row for each evaluation of boxes, scores in percent."""
    rows = [
        [f"`{name}`", str(each["metrics"]["images"]), *(_score(each["metrics"][key]) for key in BOXES)]
        for name, each in content["localisations"].items()
    ]
    return _table(["boxes of", "images", *BOXES.values()], rows, words=1)


def box_repeats(content: Content) -> str:
    """A row for each recipe whose boxes were evaluated under several seeds: mean and standard deviation."""
    scores = {"top1_loc": "Top-1 Loc", "gt_known": "GT-known", "max_box_acc_v2": "MaxBoxAccV2"}
    rows = [
        [row["label"], row["seeds"], *(_spread(row[score]) for score in scores)]
        for row in content.get("box_repeats", ())
    ]
    return _table(["recipe", "seeds", *scores.values()], rows, words=1)


def label_costs(content: Content) -> str:
    """What recipes learn from and predict by what their labels cost, in minutes of a person: the cheapest first."""
    lines = []
    for row in content["recipes"]:
        last = next((key for key in ("val_crf", "val", "pseudo_masks") if key in row["miou"]), None)
        cost = last and content["evaluations"][row["evaluations"][last]]["provenance"].get("label_cost")
        if cost:
            predicted = row["miou"][last] if last != "pseudo_masks" else None
            lines.append((cost["minutes"], row["label"], cost, row["miou"].get("pseudo_masks"), predicted))
    rows = [
        [label, ", ".join(cost["kinds"]), str(cost["images"]), f"{minutes:.0f}", _score(learned), _score(predicted)]
        for minutes, label, cost, learned, predicted in sorted(lines, key=lambda line: line[:2])
    ]
    return _table(["recipe", "labels", "images", "minutes of a person", "pseudo-masks", "prediction"], rows, words=2)


def made(content: Content) -> str:
    """One sentence: when, at which commit, on which machine, in which precision, with which seeds, in what time."""
    facts = content["made"]
    seconds, unknown = _cost(content)
    dates = " to ".join(dict.fromkeys((facts["dates"][0], facts["dates"][-1]))) if facts["dates"] else "day not known"
    commits = ", ".join(f"`{commit[:8]}`" for commit in facts["commits"]) or "not known"
    parts = [
        f"Measured {dates}",
        f"commit {commits}" + (" with uncommitted changes" if facts["uncommitted"] else ""),
        f"machine: {' and '.join(facts['machines']) or 'not known'}",
        f"precision: {', '.join(facts['precisions']) or 'not known'}",
        f"seeds: {', '.join(map(str, facts['seeds'])) or 'none'}",
        f"stages took {seconds / 60:.0f} minutes one after the other"
        + (f", {unknown} of them of unknown time left out" if unknown else ""),
    ]
    return "; ".join(parts) + "."


def _cost(content: Content) -> tuple[float, int]:
    """Seconds of all stages behind the numbers, each counted once, and of how many nothing is known."""
    stages = {
        stage["stage"]: stage["seconds"]
        for number in content["evaluations"].values()
        for stage in number["provenance"]["stages"]
    }
    known = [seconds for seconds in stages.values() if seconds is not None]
    return sum(known), len(stages) - len(known)


VIEWS: dict[str, Callable[[Content], str]] = {
    "evaluations": evaluations,
    "recipes": recipes,
    "repeats": repeats,
    "differences": differences,
    "boxes": boxes,
    "box_repeats": box_repeats,
    "label_costs": label_costs,
    "made": made,
}


def all_recipes(results: Mapping[str, Content]) -> str:
    """The recipes of all books that predict best, in one table: at most :data:`BEST` of each."""
    lines = [
        (name, cells[0], dict(zip(heads, cells[1:], strict=True)))
        for name, content in results.items()
        for heads, rows in [_recipe_rows({**content, "recipes": _best(content)})]
        for cells in rows
    ]
    order = [*next(iter(results.values()))["columns"].values(), "boundary F", "% of full"]
    heads = [head for head in order if any(head in cells for _, _, cells in lines)]
    rows = [[f"`{name}`", label, *(cells.get(head, "") for head in heads)] for name, label, cells in lines]
    return _table(["book", "recipe", *heads], rows, words=2)


def _best(content: Content) -> list[Content]:
    """The recipes with the highest predictions, in the order of the book."""
    rows = [row for row in content["recipes"] if {"val", "val_crf"} & set(row["miou"]) and not _is_seed(row, content)]
    best = sorted(rows, key=lambda row: max(row["miou"].get(key, 0.0) for key in ("val", "val_crf")))[-BEST:]
    return [row for row in rows if row in best]


def all_books(results: Mapping[str, Content]) -> str:
    """A section for each book: how it was made, and each of its tables that has a row."""
    return "\n".join(part for name, content in results.items() for part in _book(name, content))


def _book(name: str, content: Content) -> Iterator[str]:
    yield f"## {content['title']} (`{name}`)\n\nData: {content['data']}. {made(content)}\n"
    if content.get("missing"):
        yield f"{content['missing']}\n"
    if _recipe_rows(content)[1]:
        yield recipes(content)
    if content["repeats"]:
        yield f"### Mean and standard deviation over seeds\n\n{repeats(content)}"
    if content.get("comparisons"):
        yield f"### Differences\n\n{differences(content)}"
    if label_costs(content).count("\n|") > 1:
        yield f"### What the labels cost\n\n{label_costs(content)}"
    yield f"### Evaluations\n\n{evaluations(content)}"
    if content["localisations"]:
        yield f"### Boxes\n\n{boxes(content)}"
    if content.get("box_repeats"):
        yield f"### Boxes over seeds\n\n{box_repeats(content)}"
    if content["warnings"]:
        yield "\n".join(f"- {warning}" for warning in content["warnings"]) + "\n"


ALL_VIEWS: dict[str, Callable[[Mapping[str, Content]], str]] = {"recipes": all_recipes, "books": all_books}


def _recipe_rows(content: Content) -> tuple[list[str], Rows]:
    """Headings after the recipe's, and a row for each recipe that has a number and is not one seed of several."""
    rows = [row for row in content["recipes"] if row["miou"] and not _is_seed(row, content)]
    columns = [key for key in content["columns"] if any(key in row["miou"] for row in rows)]
    heads = [*(content["columns"][key] for key in columns), "boundary F", "% of full"]
    cells = [
        [
            row["label"] + ("" if row["up_to_date"] else "†"),
            *(_score(row["miou"].get(key)) for key in columns),
            _score(row["boundary_f"]),
            _score(row["percent_of_full"]),
        ]
        for row in rows
    ]
    return heads, cells


def _is_seed(row: Content, content: Content) -> bool:
    """A recipe without a label, on which a row over seeds stands."""
    of_seeds = {name for each in content.get("repeats", ()) for name in each["evaluations"]}
    return row["label"] == row["key"] and not of_seeds.isdisjoint(row["evaluations"].values())


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _spread(score: Content) -> str:
    return _score(score["mean"]) + ("" if score["std"] is None else f" ± {score['std']:.1f}")


def _table(heads: Sequence[str], rows: Rows, words: int) -> str:
    """A Markdown table; the first ``words`` columns are of words, the others of numbers."""
    rule = ["---" if index < words else "---:" for index in range(len(heads))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (list(heads), rule, *rows))


def typed_numbers(text: str, results: Mapping[str, Content]) -> list[str]:
    """Decimal numbers in the table cells of a page that no results file has; code in fences and backticks is left out.

    Args:
        text: of the page.
        results: the results files; their numbers count as they are rounded to one, two or three decimals.
    """
    known = {f"{value:.{digits}f}" for value in _numbers(results) for digits in (1, 2, 3)}
    lines = [line for line in FENCE.sub("", text).splitlines() if line.lstrip().startswith("|")]
    cells = [re.sub(r"`[^`]*`", "", line) for line in lines]
    return [number for line in cells for number in DECIMAL.findall(line) if number not in known]


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield abs(float(value))  # a sign is no part of what is looked for


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
