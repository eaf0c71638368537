"""Hooks of mkdocs: citations become links, equations are drawn. No script, no network.

- ``docs/methods/seam.md, section 3`` in running text leads to that section.
- ``$x$`` and ``$$x$$`` are converted while building: every current browser draws MathML.
- A picture ``NAME_light.png`` stands for a pair: the site shows ``NAME_dark.png`` in its dark scheme. A forge shows the
  light one alone.
- ``lab`` in the nav stands for the dated pages of that folder.
- Indented lines of a page of methods are equations in plain text: they are drawn, and numbers get an anchor.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

from docs.tools.equations import drawn

LAB = "lab"
"""In the nav: a folder of dated pages."""
CITED = re.compile(r"(?<![\w/`\[-])docs/([\w/]+\.md)(?:, section (\d+)|, \((\d+)\))?(?![\w/`])")
CODE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)|^(?: {4}|\t).*?$|`[^`\n]*`|\[[^\]\n]*\]\([^)\n]*\))", re.M | re.S)
"""What no citation is read in: fences, indented blocks, inline code, links."""
MATH = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
EQUATIONS = re.compile(r'<div class="highlight"><pre><span></span><code>(.*?)</code></pre></div>', re.S)
NUMBER = re.compile(r"\((\d+)\) (.*)")
PAIR = re.compile(r"^!(\[[^\]]*\])\(([^)\s]*)_light(\.\w+)\)$", re.M)
BLOCK = re.compile(r"(?<=\n\n) {4}\(\d+\).*\n(?:(?: {4}.*)?\n)*")
"""An indented block that begins with a number."""


def on_config(config: Any) -> Any:
    """List the dated pages of docs/lab/, the newest first."""
    notes = sorted((path.name for path in Path(config.docs_dir, LAB).glob("*.md")), reverse=True)
    pages = [f"{LAB}/{name}" for name in sorted(notes, key=lambda name: name != "index.md")]
    config.nav = [{name: pages} if value == LAB else entry for entry in config.nav for name, value in entry.items()]
    return config


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Make links of what a page cites, anchors for its numbered equations, pairs of its light pictures."""
    markdown = BLOCK.sub(_anchored, markdown)
    markdown = PAIR.sub(r"!\1(\2_light\3#only-light)\n!\1(\2_dark\3#only-dark)", markdown)
    known = {file.src_uri: file for file in files.documentation_pages()}
    return "".join(
        text if index % 2 else CITED.sub(lambda match: _link(match, page.file.src_uri, known), text)
        for index, text in enumerate(CODE.split(markdown))
    )


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Draw equations."""
    content = MATH.sub(_mathml, content)
    if page.file.src_uri.startswith("methods/"):
        content = EQUATIONS.sub(_equations, content)
    return content


def _anchored(block: re.Match[str]) -> str:
    """The block behind its anchors: mkdocs checks links against those that are there before it is drawn."""
    numbers = re.findall(r"^ {4}\((\d+)\)", block[0], re.M)
    return "".join(f'<div id="equation-{number}"></div>\n' for number in numbers) + "\n" + block[0]


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

    heading = re.search(rf"^## ({section}\. .*)$", markdown, re.M)
    return slugify(heading[1], "-") if heading else f"section-{section}"


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match[2] == "[" else "inline"
    math = str(convert(html.unescape(match[3]).strip(), display=display))
    return f'<div class="formula">{math}</div>' if display == "block" else math  # a narrow window scrolls it


def _equations(match: re.Match[str]) -> str:
    """An indented block of a page of methods: lines, each with a number or without."""
    lines = html.unescape(match[1]).rstrip().splitlines()
    if not any(" = " in line or NUMBER.match(line) for line in lines):
        return match[0]  # an example, or a list of cases
    shown = (NUMBER.sub(_number, line) if NUMBER.match(line) else drawn(line) for line in lines)
    return f'<div class="equation">{chr(10).join(shown)}</div>'


def _number(match: re.Match[str]) -> str:
    return f'<span class="number">({match[1]})</span> {drawn(match[2])}'
