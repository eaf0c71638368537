"""The recipe table for a paper: booktabs, ours and published under headings of their own, provenance as comments."""

from __future__ import annotations

from itertools import groupby

from pipeline.results.tables.layout import OURS, PUBLISHED, Cell, Field, fields, sentence
from pipeline.results.tables.rows import PaperTable

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "†": r"$^\dagger$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def latex(table: PaperTable) -> str:
    """A ``table`` environment to \\input; needs the package booktabs."""
    shown = fields(table)
    align = "".join("l" if field.key in ("recipe", "published") else "r" for field in shown)
    rows = [" & ".join(_cell(field.cell(row)) for field in shown) for row in table.rows]
    lines = [
        "% Needs \\usepackage{booktabs}.",
        *(f"% {text}" for text in (*table.todo, *_sources(table, shown))),
        r"\begin{table}",
        r"\centering\small",
        f"\\caption{{{escaped(table.title)}. mIoU in \\%; data: {escaped(table.data)}.}}",
        f"\\label{{tab:{table.book.replace('_', '-')}}}",
        f"\\begin{{tabular}}{{{align}}}",
        r"\toprule",
        *_groups(table, shown),
        _row([escaped(field.title) for field in shown]),
        _row([escaped(field.where) for field in shown]),
        r"\midrule",
        *(f"{row} \\\\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *_small_print(table),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text with every character that LaTeX would read as a command made plain."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    return escaped(cell.text + cell.mark)


def _groups(table: PaperTable, shown: list[Field]) -> list[str]:
    """The line above the titles that says whose numbers they are, and the rules below it."""
    titles = {OURS: f"ours: {table.data}", PUBLISHED: PUBLISHED, "": ""}
    heads, rules, start = [], [], 1
    for group, members in groupby(shown, key=lambda field: field.group):
        width = len(list(members))
        heads.append(f"\\multicolumn{{{width}}}{{c}}{{{escaped(titles[group])}}}" if group else " & " * (width - 1))
        if group:
            rules.append(f"\\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [" & ".join(heads) + r" \\", "".join(rules)]


def _sources(table: PaperTable, shown: list[Field]) -> list[str]:
    """One comment line for each number: where it comes from."""
    sources: dict[str, str] = {}
    for cell in (field.cell(row) for row in table.rows for field in shown):
        if cell.key and cell.number is not None:
            provenance = cell.number.provenance
            runs = [run["run"] for run in provenance["mlflow"].values() if run]
            stale = f"; OUT OF DATE: {'; '.join(cell.number.stale)}" if cell.number.stale else ""
            hashes = " ".join(f"{name}={md5}" for name, md5 in provenance["dvc"].items())
            text = f"{sentence(cell.number)}; MLflow {' '.join(runs) or 'no run'}; DVC {hashes}{stale}"
            sources[cell.key] = text
        elif cell.key and cell.published is not None:
            sources[cell.key] = f"{cell.published.source} {cell.published.note}".strip()
    return [" ".join(f"{key}: {text}".split()) for key, text in sources.items()]


def _small_print(table: PaperTable) -> list[str]:
    stale = ["† Out of date."] if any(number.stale for number in table.numbers.values()) else []
    text = " ".join(escaped(note) for note in (*table.notes, *stale))
    return [rf"\par\smallskip\footnotesize {text}"] if text else []
