"""Hooks of mkdocs: citations become links, TeX becomes MathML, roles of docstrings become code. No script, no network.

- ``docs/methods/seam.md, section 3`` in running text leads to that section.
- ``$x$`` and ``$$x$$`` are converted while building: every current browser draws MathML.
- Indented lines that begin with ``(1)`` are numbered equations in plain text; they get an anchor and a frame.
- ``:class:`Cam``` in a docstring is shown as code.
"""

from __future__ import annotations

import html
import posixpath
import re
from typing import Any

from latex2mathml.converter import convert

CITED = re.compile(r"(?<![\w/`(\[-])docs/([\w/]+\.md)(?:, section (\d+)|, \((\d+)\))?(?![\w/`])")
CODE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)|^(?: {4}|\t).*?$|`[^`\n]*`|\[[^\]\n]*\]\([^)\n]*\))", re.M | re.S)
"""What no citation is read in: fences, indented blocks, inline code, links."""
MATH = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
ROLE = re.compile(r":(?:class|func|meth|data|attr|mod|exc):<code>~?([^<]*)</code>")
EQUATIONS = re.compile(r'<div class="highlight"><pre><span></span><code>\((\d+)\).*?</code></pre></div>', re.S)
NUMBER = re.compile(r"^\((\d+)\)", re.M)


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Make links of what a page cites."""
    known = {file.src_uri: file for file in files.documentation_pages()}
    return "".join(
        text if index % 2 else CITED.sub(lambda match: _link(match, page.file.src_uri, known), text)
        for index, text in enumerate(CODE.split(markdown))
    )


def on_page_content(content: str, **_: Any) -> str:
    """Draw equations, and tidy what docstrings say."""
    content = MATH.sub(_mathml, content)
    content = ROLE.sub(lambda match: f"<code>{match[1].removeprefix('models.')}</code>", content)
    return EQUATIONS.sub(_numbered, content)


def _link(match: re.Match[str], page: str, known: dict[str, Any]) -> str:
    target, section, equation = match.groups()
    if target not in known:
        return match[0]
    place = posixpath.relpath(target, posixpath.dirname(page) or ".")
    if section:
        place += f"#{_anchor(known[target].content_string, section)}"
    elif equation:
        place += f"#equation-{equation}"
    return f"[{match[0]}]({place})"


def _anchor(markdown: str, section: str) -> str:
    """The anchor of the heading ``## 3. Equations``, as mkdocs makes it."""
    from markdown.extensions.toc import slugify

    found = re.search(rf"^## ({section}\. .*)$", markdown, re.M)
    return slugify(found[1], "-") if found else f"section-{section}"


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match[2] == "[" else "inline"
    return str(convert(html.unescape(match[3]).strip(), display=display))


def _numbered(match: re.Match[str]) -> str:
    block = NUMBER.sub(r'<span id="equation-\1">(\1)</span>', match[0].replace("<code>(", "<code>\n(", 1))
    return f'<div class="equation">{block.replace("<code>" + chr(10), "<code>", 1)}</div>'
