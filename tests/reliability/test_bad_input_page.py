"""The page of what bad input gets."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "bad_input.md"


def test_the_page_counts_its_kinds() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| (?!input )", line)]
    (said,) = re.findall(r"The tables list (\d+) kinds", text)
    assert int(said) == len(rows) >= 120
    assert len({row.split(" | ")[0] for row in rows}) >= len(rows) - 12  # two tables may know one input
