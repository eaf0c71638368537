"""A graph in lines of text, one stage a line: each stage keeps a column of its own until its last reader has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PLAIN = str.maketrans("●│─├┤└┘┼┴", "*|-++++++")
"""To what a terminal without these signs can show."""


def lanes(after: Mapping[str, Sequence[str]]) -> list[str]:
    """What stands before the name of each stage, all of one length.

    ``●`` is the stage itself. A line runs down from it to each stage that waits for it; where it crosses another one,
    the one that runs down is whole and the other has a gap.

    Args:
        after: stage -> the stages that it waits for; each stage after these.
    """
    readers = dict.fromkeys(after, 0)
    for above in after.values():
        for name in above:
            readers[name] += 1
    columns: list[str | None] = []
    rows = []
    for stage, above in after.items():
        taken = [columns.index(name) for name in above]
        ending = {column for column in taken if readers[columns[column] or ""] == 1}
        own = min(ending) if ending else _free(columns)
        rows.append(_row(columns, own, taken, ending))
        for name in above:
            readers[name] -= 1
        columns = [None if column in ending else name for column, name in enumerate(columns)]
        columns[own] = stage if readers[stage] else None
    width = max((len(row) for row in rows), default=0)
    return [row.ljust(width) for row in rows]


def _free(columns: list[str | None]) -> int:
    """The first column that nothing runs down; the list grows where there is none."""
    if None not in columns:
        columns.append(None)
    return columns.index(None)


def _row(columns: Sequence[str | None], own: int, taken: Sequence[int], ending: set[int]) -> str:
    first, last = min([own, *taken]), max([own, *taken])
    signs = []
    for column, name in enumerate(columns):
        if column == own:
            sign = "●"
        elif column in taken:
            ends = column in ending
            sides = ("└", "├") if column == first else ("┘", "┤") if column == last else ("┴", "┼")
            sign = sides[0] if ends else sides[1]
        else:
            sign = "│" if name else "─" if first < column < last else " "
        signs.append(sign + ("─" if first <= column < last else " "))
    return "".join(signs).rstrip()
