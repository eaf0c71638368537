"""What docstrings and comments cite can be read here: pages of docs/methods, files of public repositories, papers."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.backbones import BACKBONES
from models.heads import HEADS
from models.methods import ADD_ONS, METHODS
from models.refiners import REFINERS
from models.rules import RULES

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "methods"
SOURCES = sorted(p for room in ("models", "stages", "pipeline", "benchmarks") for p in (ROOT / room).rglob("*.py"))
BOOKS = sorted(
    [ROOT / "params.yaml", *(ROOT / "recipes").glob("*/params.yaml"), *(ROOT / "recipes").glob("*/book.yaml")]
)
TEXTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

PAGE = r"docs/methods/(\w+)\.md"
SECTION = re.compile(PAGE + r"(?:, sections? (\d+)(?: (?:and|to) (\d+))?|, \((\d+)\)(?: (?:and|to) \((\d+)\))?)?")
REPOSITORY = r"[\w.-]+/[\w.-]+@[0-9a-f]{7,40}"
SOURCE = re.compile(rf"{PAGE}|{REPOSITORY}(?::\S+)?|\([A-Z][^()]* (?:19|20)\d\d\)|``VOClabelcolormap\.m``")
"""What a line "Source:" may name: a page, a file of a repository at a commit, a paper by authors and year."""
DOCUMENT = re.compile(r"\b(?:docs|tests|recipes|benchmarks)/[\w/]+\.md\b")
UNREADABLE = re.compile(
    r"\b[Ss]pec(?:s|ification)? ?(?:\d|:)"  # "Spec 1.7"
    r"|\b[a-z]+_and_[a-z_]+ \d"  # a document by its name and a section
    rf"|(?:[(;] ?|Source: )(?:{'|'.join([*METHODS, *ADD_ONS])}) \d+\.\d"  # "(spml 1.9)"
    r"|\bshared/"
)
"""Ways to cite what nobody who has only this repository can open."""


def paragraphs(path: Path) -> Iterator[str]:
    """Docstrings (of functions, classes, modules and of variables) by paragraph, and comments, of a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            alone = node.value if isinstance(node, ast.Expr) else None
            if isinstance(alone, ast.Constant) and isinstance(alone.value, str):
                yield from (" ".join(part.split()) for part in re.split(r"\n\s*\n", alone.value))
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        yield from (token.string for token in tokens if token.type == tokenize.COMMENT)
    else:
        comments = re.findall(r"#.*", text) if path.suffix == ".yaml" else [text]
        yield from comments


def unreadable(paragraph: str) -> list[str]:
    """What a paragraph cites that cannot be read here."""
    wrong = [match.group() for match in UNREADABLE.finditer(paragraph)]
    if paragraph.startswith(("Source:", "Sources:")) and not SOURCE.search(paragraph):
        wrong.append(paragraph)
    wrong += [name for name in DOCUMENT.findall(paragraph) if not (ROOT / name).is_file()]
    for match in SECTION.finditer(paragraph):
        page, *numbers = match.groups()
        if not (PAGES / f"{page}.md").is_file():
            wrong.append(match.group())
            continue
        text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
        sections, equations = re.findall(r"^## (\d+)\. ", text, re.M), re.findall(r"^    \((\d+)\)", text, re.M)
        wrong += [match.group() for n in numbers[:2] if n and n not in sections]
        wrong += [match.group() for n in numbers[2:] if n and n not in equations]
    return wrong


def made_on(path: Path) -> tuple[str, ...]:
    """What a reader makes on a page: files in titles of code blocks, and the books that its commands make."""
    text = path.read_text(encoding="utf-8")
    return (*re.findall(r'^```\w+ title="([\w./]+)', text, re.M), *re.findall(r"--book (recipes/\w+)", text))


@pytest.mark.parametrize("path", [*SOURCES, *BOOKS, *TEXTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_cited_can_be_read(path: Path) -> None:
    cited = [one for paragraph in paragraphs(path) for one in unreadable(paragraph)]
    made = made_on(path) if path.parent.name == "tutorials" else ()
    missing = [one for one in cited if not one.startswith(made)] if made else cited
    assert not missing, f"{path.relative_to(ROOT)} cites {missing}"


@pytest.mark.parametrize(
    "paragraph",
    [
        "Spec 1.7: L = w_C (CE + L_C)",
        "Source: rtc_and_rcm_mam 2.3, step 3.",
        "Published backgrounds (hfpl_and_baselines 3.5).",
        "Source: spml 1.9 (the script is not published).",
        "Source: a table that somebody made.",
        "See ../shared/specs for more.",
        "Source: docs/methods/never_written.md.",
        "Source: docs/methods/seam.md, section 99.",
        "docs/never_written.md has more.",
        "Source: docs/methods/seam.md, (99).",
    ],
)
def test_the_law_sees_what_cannot_be_read(paragraph: str) -> None:
    assert unreadable(paragraph)


@pytest.mark.parametrize(
    "paragraph",
    [
        "Source: docs/methods/seam.md, section 3.",
        "Source: docs/methods/seam.md, (2).",
        "Source: jiwoon-ahn/psa@9493e59:tool/pyutils.py.",
        "dropout: in the joint classifier (SPML 0.75; 0.65 with ``frozen``).",
        "segmentation 0.1 and affinity: 0.1",
    ],
)
def test_the_law_lets_pass_what_can(paragraph: str) -> None:
    assert not unreadable(paragraph)


@pytest.mark.parametrize("name", [*METHODS, *ADD_ONS, *REFINERS])
def test_every_method_add_on_and_refiner_has_a_page(name: str) -> None:
    page = PAGES / f"{name}.md"
    assert page.is_file(), f"write {page.relative_to(ROOT)}: paper and code, equations, constants, departures"
    door = (METHODS | ADD_ONS | REFINERS)[name]
    module = door.partition(":")[0].replace(".", "/") + ".py"
    assert module in page.read_text(encoding="utf-8"), f"{page.name} does not say that it is about {module}"


@pytest.mark.parametrize(("page", "names"), [("pseudo_masks", RULES), ("backbones", BACKBONES), ("segmenter", HEADS)])
def test_every_rule_backbone_and_head_is_on_its_page(page: str, names: dict[str, str]) -> None:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_lines_of_a_combination_are_those_of_its_book() -> None:
    book = (ROOT / "recipes" / "voc_mini_beyond" / "book.yaml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "howto" / "combine.md").read_text(encoding="utf-8")
    quoted = re.findall(r"```yaml\n(.*?)```", page, re.S)
    assert len(quoted) >= 5
    assert [lines for lines in quoted if lines not in book] == []


def test_the_list_of_pages_has_all_of_them() -> None:
    listed = re.findall(r"\]\((\w+\.md)\)", (PAGES / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(page.name for page in PAGES.glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_pages_name_exist(path: Path) -> None:
    """Those of this repository, which stand in backticks."""
    named = re.findall(r"`((?:models|stages|pipeline|recipes|tests|docs)/[\w./]*)`", path.read_text(encoding="utf-8"))
    made = made_on(path) if path.parent.name == "tutorials" else ()
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith(made or "?")] == []


def test_links_of_the_readme_lead_somewhere() -> None:
    """Those of docs/ are followed when the site is built."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 40
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_walks_count_their_files() -> None:
    walks = re.split(r"^## ", (ROOT / "docs" / "walks.md").read_text(encoding="utf-8"), flags=re.M)[1:]
    for walk in walks:
        rows = re.findall(r"^\| \d+ \| `([^`]+)` \|.*\| (\w+) \|$", walk, re.M)
        assert all((ROOT / name).is_file() for name, _ in rows)
        kinds = [kind for _, kind in rows]
        assert f"{len(rows)} files, {kinds.count('machinery')} of them machinery" in walk


@pytest.mark.parametrize("name", [*METHODS, *ADD_ONS])
def test_a_page_of_code_leads_to_its_page_of_prose(name: str) -> None:
    module = ROOT / ((METHODS | ADD_ONS)[name].partition(":")[0].replace(".", "/") + ".py")
    head = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    assert f"docs/methods/{name}.md" in head
