"""What the project writes for others to open: a page, tables, addresses. Nothing in it comes alive."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from models.errors import ConfigurationError
from pipeline.compute.servers import check_address
from pipeline.results.report.page import write_report
from pipeline.results.tables.latex import escaped
from tests.helpers import made_book

ALIVE = "</script><script>document.title='run'</script><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://x")'
IDS = {"train": ("t0", "t1"), "val": ("v'0\" onload='x'", "v<script>1")}


class Page(HTMLParser):
    """Tags and attributes of a page, and what its security policy says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    @property
    def policy(self) -> dict[str, str]:
        (text,) = (given["content"] for _, given in self.elements if given.get("http-equiv"))
        return dict(part.strip().partition(" ")[::2] for part in str(text).split(";"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a book whose classes, images and title are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WEAK2MASK_WORKERS", "0")
        book = made_book.book(table={"title": ALIVE, "bound": "full"})
        made_book.make(book, ids=IDS, classes=(ALIVE, FORMULA))
        write_report(book)
    return folder


def test_the_report_has_no_element_that_a_name_made(written: Path) -> None:
    (index,) = written.rglob("index.html")
    text = index.read_text()
    assert "<script>" not in text
    page = Page(text)
    for tag, given in page.elements:
        assert not [name for name in given if name.startswith("on")], (tag, given)
        assert tag != "script" or given.get("type") == "application/json" or str(given["src"]).startswith("assets/")
        for name in ("src", "href", "action"):
            assert not re.match(r"(https?:|javascript:|//)", given.get(name) or ""), (tag, given)


def test_the_report_runs_nothing_but_its_own_files(written: Path) -> None:
    (index,) = written.rglob("index.html")
    policy = Page(index.read_text()).policy
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == "'self' file:"
    assert "unsafe" not in policy["script-src"]


def test_no_table_has_a_formula(written: Path) -> None:
    tables = list(written.rglob("*.csv"))
    assert {"classes.csv", "confusion.csv"} <= {path.name for path in tables}
    for path in tables:
        for row in csv.reader(io.StringIO(path.read_text())):
            assert not [cell for cell in row if re.match(r"[=+@\t]|-[^0-9.]", cell)], path
    assert any(f"'{FORMULA}" in row for row in csv.reader((written / "work/made/evaluations/net/classes.csv").open()))


def test_latex_reads_no_command_in_a_name() -> None:
    assert escaped(r"\input{/etc/passwd}") == r"\textbackslash{}input\{/etc/passwd\}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_no_server_listens_to_others(host: str) -> None:
    with pytest.raises(ConfigurationError, match="this machine only"):
        check_address(host, 50123)
