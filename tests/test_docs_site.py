"""The site of the documentation: generated pages are as the code says, equations are drawn, and it builds offline."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

pytest.importorskip("mkdocs", reason="pip install 'weak2mask[docs]'")

from docs.tools import book_keys, commands, generate, hooks
from docs.tools.docstrings import meanings
from docs.tools.equations import drawn
from docs.tools.types import as_yaml, in_words
from models.options import Count, Share
from pipeline.book.artifacts import VERBS
from pipeline.commands.app import app

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / "docs" / "reference" / "environment.md"
VARIABLE = re.compile(r"\bWEAK2MASK_[A-Z0-9_]*[A-Z0-9]\b")


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_as_the_code_says(name: str) -> None:
    remedy = "python -m docs.tools.generate"
    assert (generate.FOLDER / name).read_text(encoding="utf-8") == generate.NOTE + generate.PAGES[name](), remedy


def test_a_stale_page_is_named_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    monkeypatch.setattr(generate, "PAGES", {"page.md": lambda: "text\n"})
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8").endswith("text\n")
    assert generate.main(["--check"]) == 0
    (tmp_path / "page.md").write_text("edited by hand", encoding="utf-8")
    assert generate.stale() == ["page.md"]


def test_every_command_has_its_place_and_an_example() -> None:
    page = commands.page()
    names = [command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands]  # type: ignore[union-attr]
    files = {path.stem for path in (ROOT / "pipeline" / "commands").glob("*.py")} - {"__init__", "app"}
    modules = {str(command.callback.__module__).rpartition(".")[2] for command in app.registered_commands}  # type: ignore[union-attr]
    assert modules == files
    for name in names:
        section = page.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        assert f"python -m pipeline {name} [OPTIONS]" in section
        assert re.search(rf"^python -m pipeline {name}(?! \[OPTIONS\])", section, re.M), f"{name} has no example"


def test_every_key_and_option_of_a_book_has_a_meaning() -> None:
    page = book_keys.page()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) ?\|$", page, re.M)
    assert len(rows) > 250
    assert [row for row in rows if not row[1] or not row[2] or not row[3]] == []
    assert [verb for verb in VERBS if f"\n## `{verb}`\n" not in page] == []


def test_examples_of_a_book_are_yaml() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", book_keys.page(), re.S)
    assert sorted(key for block in blocks for key in yaml.safe_load(block)) == sorted(VERBS)


@pytest.mark.parametrize(
    ("declared", "words"),
    [(Share, "share in [0,1]"), (Count | None, "whole number of 0 or more or null"), (list[str], "list of text")],
)
def test_types_in_words(declared: object, words: str) -> None:
    assert in_words(declared) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ((1, 2), "[1, 2]"),
        ("", '""'),
        ("psa", "psa"),
        ({"a": "b"}, "{a: b}"),
        (5e-4, "0.0005"),
    ],
)
def test_defaults_are_yaml(value: object, text: str) -> None:
    assert as_yaml(value) == text
    assert yaml.safe_load(text) == (list(value) if isinstance(value, tuple) else value)


def test_meanings_of_several_options_and_of_bases() -> None:
    class Base:
        """A base.

        Args:
            far: from the base,
                on two lines.
        """

    class Part(Base):
        """A part.

        Args:
            one, two: what ``both`` are; None for nothing.
        """

    both = "What `both` are; null for nothing."
    assert meanings(Part) == {"far": "From the base, on two lines.", "one": both, "two": both}


def _variables_read() -> set[str]:
    """Names of the project's variables in its code and books, but for what docstrings and help say."""
    names: set[str] = set()
    for path in (path for room in ("models", "stages", "pipeline") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names |= set(VARIABLE.findall(node.value))
    for path in [ROOT / "params.yaml", *(ROOT / "recipes").glob("*/params.yaml")]:
        book = yaml.safe_load(path.read_text(encoding="utf-8"))["book"]
        names |= {name for name in book.get("sources", {}).values() if name.startswith("WEAK2MASK_")}
    return names


def test_the_page_of_variables_has_all_that_are_read_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(WEAK2MASK_\w+)` \|", ENVIRONMENT.read_text(encoding="utf-8"), re.M))
    listed -= {"WEAK2MASK_DATA_NAME"}  # written by `init` with the folder's name at its end
    read = _variables_read() - {"WEAK2MASK_DATA"}
    assert len(read) > 10
    assert listed == read


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("L_cls^1 <- w A_c", "<i>L</i><sub>cls</sub><sup>1</sup> ← <i>w</i> <i>A</i><sub><i>c</i></sub>"),
        ("(1 - max)^alpha", "(1 − max)<sup><i>α</i></sup>"),
        ("A^v_{1..C}(x)", "<i>A</i><sup><i>v</i></sup><sub>1..<i>C</i></sub>(<i>x</i>)"),
        ("v T^(2^log_t)", "<i>v</i> <i>T</i><sup>2<sup>log_t</sup></sup>"),
        ("a + 1e-5", "<i>a</i> + 10<sup>−5</sup>"),
        ("cross-entropy of the run's a < b", "cross-entropy of the run&#x27;s <i>a</i> &lt; <i>b</i>"),
        ("sum_x, their sum", "∑<sub><i>x</i></sub>, their sum"),
    ],
)
def test_equations_are_drawn(text: str, shown: str) -> None:
    assert drawn(text) == shown


def _page(source: str, text: str = "") -> SimpleNamespace:
    return SimpleNamespace(file=SimpleNamespace(src_uri=source), src_uri=source, content_string=text)


def test_citations_become_links() -> None:
    cited = _page("methods/seam.md", "# SEAM\n\n## 3. Equations\n")
    files = SimpleNamespace(documentation_pages=lambda: [cited])
    text = "See docs/methods/seam.md, section 3, (docs/methods/seam.md, (2)), `docs/methods/seam.md`, docs/none.md."
    assert hooks.on_page_markdown(text, page=_page("methods/ppc.md"), files=files) == (
        "See [docs/methods/seam.md, section 3](seam.md#3-equations), "
        "([docs/methods/seam.md, (2)](seam.md#equation-2)), `docs/methods/seam.md`, docs/none.md."
    )


def test_the_site_has_the_dark_picture_beside_the_light_one() -> None:
    files = SimpleNamespace(documentation_pages=lambda: [])
    page = hooks.on_page_markdown("![One](../pictures/a_light.png)\n", page=_page("howto/gpu.md"), files=files)
    assert page == "![One](../pictures/a_light.png#only-light)\n![One](../pictures/a_dark.png#only-dark)\n"
    pictures = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    assert {name.replace("_light.", "_dark.") for name in pictures if "_light." in name} <= pictures


def test_numbers_of_equations_are_anchors() -> None:
    files = SimpleNamespace(documentation_pages=lambda: [])
    text = "Text:\n\n    (1)  a = b\n         c = d\n    (12) e\n\nMore text, (3).\n"
    page = hooks.on_page_markdown(text, page=_page("methods/seam.md"), files=files)
    assert re.findall(r'<div id="([\w-]+)"></div>', page) == ["equation-1", "equation-12"]
    assert page.replace('<div id="equation-1"></div>\n<div id="equation-12"></div>\n\n', "") == text


def test_equations_of_methods_are_drawn_and_examples_stay() -> None:
    code = '<div class="highlight"><pre><span></span><code>(1)  a = b\n(12) e\n</code></pre></div>'
    content = hooks.on_page_content(code, page=_page("methods/seam.md"))
    assert content.startswith('<div class="equation"><span class="number">(1)</span>  <i>a</i> = <i>b</i>\n')
    assert hooks.on_page_content(code, page=_page("howto/gpu.md")) == code
    cases = '<div class="highlight"><pre><span></span><code>255  elsewhere\n</code></pre></div>'
    assert hooks.on_page_content(cases, page=_page("methods/pseudo_masks.md")) == cases


def test_tex_becomes_mathml() -> None:
    display, inline = r'<div class="arithmatex">\[a^2\]</div>', r'<span class="arithmatex">\(a &lt; b\)</span>'
    content = hooks.on_page_content(display + inline, page=_page("howto/gpu.md"))
    assert re.findall(r'<math [^>]*display="(\w+)"', content) == ["block", "inline"]
    assert "&lt;" in content or "&#x0003C;" in content


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_nobody_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]* src=\"?(?:https?:)?//|<link[^>]* href=\"?(?:https?:)?//(?!$)"
    )
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
