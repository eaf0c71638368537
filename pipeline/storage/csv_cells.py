"""Cells of CSV files that people open in a spreadsheet."""

from __future__ import annotations

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a text that Excel, LibreOffice and Google Sheets compute, which may fetch an address or run a command
(https://owasp.org/www-community/attacks/CSV_Injection)."""


def plain_cell(value: Any) -> Any:
    """A text that a spreadsheet would compute, with an apostrophe before it; anything else, numbers too, as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
