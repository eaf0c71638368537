"""Names of books and entries out of the names that people give to folders and splits, in whatever script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256

from pipeline.datasets.file_names import nfc, numbered

OTHER = "mine"
"""Begins the name of what has no Latin letter and no digit."""
SPELT = {"þ": "th", "ð": "d"}
"""Latin letters whose Unicode names do not say how they are written with others."""
_LATIN = re.compile(r"LATIN SMALL (?:LETTER|LIGATURE) (?:DOTLESS )?([A-Z]{1,2})(?: WITH .+)?")


def slug(text: str) -> str:
    """A name as params.yaml wants it: lower case, digits, underscores; the same for the same text, and never empty.

    Latin letters lose their marks, and joined ones are taken apart (ß is ss, ø is o, æ is ae). A text in other scripts
    alone gets a name with a part of its digest.
    """
    plain = "".join(map(_plain, unicodedata.normalize("NFKD", text.casefold())))
    found = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    letters = any(map(str.isalnum, text))
    return found or (f"{OTHER}_{sha256(nfc(text).encode('utf-8', 'replace')).hexdigest()[:6]}" if letters else OTHER)


def slugs(texts: Iterable[str]) -> dict[str, str]:
    """Text -> its :func:`slug`, with a number from 2 on where another text before it has that name."""
    plain = {text: slug(text) for text in texts}
    names: dict[str, str] = {}
    for text, name in plain.items():
        first = name not in names.values()
        names[text] = name if first else numbered(name, {*plain.values(), *names.values()})
    return names


def _plain(letter: str) -> str:
    """A letter in ASCII: "" for a mark on a letter, a blank for what is no Latin letter."""
    if letter.isascii():
        return letter
    if unicodedata.combining(letter):
        return ""
    known = _LATIN.fullmatch(unicodedata.name(letter, ""))
    return SPELT.get(letter) or (known[1].lower() if known else " ")
