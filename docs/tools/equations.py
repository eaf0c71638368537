"""Equations in plain text, as the pages of methods have them, drawn as mathematics: ``L_cls^1 <- (1 - w) A_c``.

``_x`` and ``_{..}`` are subscripts, ``^x``, ``^{..}`` and ``^(..)`` superscripts; names of Greek letters are these
letters, single letters are variables. Words and numbers stay as they are, and so do lines and their indentation.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping

GREEK = frozenset("alpha beta kappa lambda mu pi psi rho sigma tau theta".split())  # noqa: SIM905
SIGNS = {"<-": "←", "||": "‖", "*": "×"}
WORDS = {"sum": "∑", "sig": "σ"}
TOKEN = re.compile(
    r"(?P<option>(?<=\^)log_t)"  # a name of an option, whose underscore is no subscript
    r"|(?P<script>[_^]\{[^{}]*\}|\^\([^()]*\)|[_^](?!log_t)[A-Za-z0-9]+)"
    r"|(?P<power>\b1e-\d+)"
    r"|(?P<times>(?<=\d)x(?=\d))"
    r"|(?P<code>`[^`]*`)"
    r"|(?P<word>[A-Za-z]+(?:'[a-z]+)?)(?P<mark>[~'])?"
    r"|(?P<sign><-|\|\||(?<= )\*(?= ))"
    r"|(?P<dot>(?<=[\w)]) \. (?=[\w(])|(?<=[A-Za-z])\.(?=[A-Z]_))"
    r"|(?P<minus>-(?=[\s\w(|\[])(?<![A-Za-z]-(?=[A-Za-z])))"
    r"|(?P<raised>\^(?=log_t))"
    r"|(?P<other>.)",
    re.S,
)


def drawn(text: str) -> str:
    """HTML of an equation, or of several lines of them."""
    return "".join(map(_drawn, TOKEN.finditer(text)))


def _drawn(token: re.Match[str]) -> str:
    text = token.group()
    match token.lastgroup:
        case "option":
            return f"<sup>{text}</sup>"
        case "script":
            inside = text[2:-1] if text[1] in "{(" else text[1:]
            kind = "sub" if text[0] == "_" else "sup"
            return f"<{kind}>{drawn(inside)}</{kind}>"
        case "power":
            return f"10<sup>−{text[3:]}</sup>"
        case "code":
            return f"<code>{html.escape(text[1:-1])}</code>"
        case "mark" | "word":
            at_end = token.end() == len(token.string)  # "divided by their sum" is prose
            return _word(token["word"], token["mark"] or "", WORDS if not at_end else {})
        case "sign":
            return SIGNS[text]
    plain = {"times": "×", "dot": text.replace(".", "·"), "minus": "−", "raised": ""}
    return plain.get(token.lastgroup or "", html.escape(text))


def _word(word: str, mark: str, words: Mapping[str, str]) -> str:
    if word in GREEK:
        name = "LAMDA" if word == "lambda" else word.upper()
        shown = f"<i>{unicodedata.lookup(f'GREEK SMALL LETTER {name}')}</i>"
    elif len(word) == 1:
        shown = f"<i>{word}</i>"
    else:
        shown = html.escape(words.get(word, word))
    return shown + {"~": "\N{COMBINING TILDE}", "'": "′", "": ""}[mark]
