"""Hostile names in a real browser: what the report and the local page show of them does not run.

The first test is of the attack itself: without a policy the browser runs it.
"""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.look.application import application
from pipeline.look.guard import Guard
from pipeline.results.report.page import write_report
from tests.helpers import look_book, made_book
from tests.helpers.browser import CHROMIUM, Tab, browser

pytest.importorskip("websockets")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.xdist_group("browser"),
]

RUN = "window.injected = 1"
ALIVE = f"</script></title><script>{RUN}</script><img src=x onerror='{RUN}'><svg onload='{RUN}'>"
CLASSES = (f"cat{ALIVE}", "javascript:window.injected=1")
IDS = {"train": ("t0", "t1"), "val": (f"v' onload='{RUN}' x=\"", f"<img src=x onerror={RUN}>")}
UNTOUCHED = "typeof window.injected === 'undefined' && !document.querySelector('img[src=x]')"
INJECT = f"""(() => {{
    const script = document.createElement('script');
    script.textContent = {RUN!r};
    document.body.append(script);
    document.body.insertAdjacentHTML('beforeend', {f"<img src='data:,' onerror='{RUN}'><b onclick='{RUN}'>b</b>"!r});
    document.body.lastElementChild.click();
    return new Promise(done => setTimeout(() => done(typeof window.injected), 500));
}})()"""
"""Elements that come alive wherever a page lets them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a book whose title, classes and images are hostile, with its report."""
    place = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("WEAK2MASK_WORKERS", "0")
        book = made_book.book(table={"title": ALIVE, "bound": "full"})
        made_book.make(book, ids=IDS, classes=CLASSES)
        write_report(book)
    return place


@pytest.fixture
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_without_a_policy_the_attack_runs(tab: Tab, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>{ALIVE}</title><body>{html.escape(ALIVE)}")
    tab.open(page)
    assert tab.run("window.injected") == 1
    page.write_text("<!doctype html><title>plain</title><body>")
    tab.open(page)
    assert tab.run(INJECT) == "number"


def test_no_name_runs_in_the_report(tab: Tab, folder: Path) -> None:
    (index,) = folder.rglob("index.html")
    tab.open(index)
    tab.wait("document.querySelectorAll('article').length === 4")
    tab.run("Promise.all([...document.images].map(one => { one.loading = 'eager'; return one.decode(); }))")
    assert tab.run(UNTOUCHED)
    assert tab.run("document.querySelector('h1').textContent").count("<script>") == 1, "it is there, as text"
    assert tab.problems == [], "nor did the policy have to stop anything"
    assert all(url.startswith((folder.as_uri(), "data:", "about:")) for url in tab.requests)
    assert tab.run(INJECT) == "undefined", "and it would have"


def test_no_name_runs_in_the_local_page(tab: Tab, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    import uvicorn

    monkeypatch.chdir(folder)
    book = made_book.book(table={"title": ALIVE, "bound": "full"})
    desk = look_book.desk(book)
    desk.title = ALIVE
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        app = application(desk, Guard("127.0.0.1", "secret"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [held]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            tab.visit(f"http://127.0.0.1:{held.getsockname()[1]}/secret/")
            tab.wait("document.querySelectorAll('.thumb').length === 2")
            tab.run("document.querySelector('.thumb').click()")
            tab.wait("document.body.textContent.includes('javascript:window')")
            assert tab.run(UNTOUCHED)
            assert tab.problems == []
            assert tab.run(INJECT) == "undefined"
        finally:
            server.should_exit = True
            thread.join(20)
