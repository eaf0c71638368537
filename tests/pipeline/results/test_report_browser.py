"""A report as a reader meets it: opened from the disk in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import made_book
from tests.helpers.browser import CHROMIUM, Tab, browser

pytest.importorskip("websockets")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.xdist_group("browser"),
]

IDS = "[...document.querySelectorAll('article')].map(one => one.getAttribute('aria-label'))"
PLOTS = "document.querySelectorAll('.plot .main-svg').length"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipeline.results.report.page import write_report

    folder = tmp_path_factory.mktemp("report #1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WEAK2MASK_WORKERS", "0")
        book = made_book.book()
        made_book.make(book)
        return write_report(book).absolute()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(chromium: Tab, index: Path) -> Iterator[Tab]:
    """The report, freshly opened; in the end nothing went wrong and nothing came from elsewhere."""
    chromium.problems.clear()
    chromium.requests.clear()
    chromium.look()
    chromium.open(index)
    yield chromium
    assert chromium.problems == []
    assert all(url.startswith((index.parent.as_uri(), "data:", "about:")) for url in chromium.requests)


def choose(tab: Tab, id: str, value: str) -> None:
    tab.run(f"(() => {{ const s = find('#{id}'); s.value = {value!r}; s.dispatchEvent(new Event('change')); }})()")


def test_everything_is_drawn(tab: Tab) -> None:
    tab.wait(f"{PLOTS} >= 4")
    tab.run("Promise.all([...document.images].map(one => { one.loading = 'eager'; return one.decode(); }))")
    assert tab.run(IDS) == [*made_book.IDS["train"], *made_book.IDS["val"]]
    assert tab.run("[...document.images].every(one => one.naturalWidth > 0)")
    assert not tab.run("document.documentElement.scrollWidth > innerWidth")
    assert tab.run("[...document.querySelectorAll('select')].every(one => one.labels.length === 1)")
    assert tab.run("document.querySelectorAll('tbody tr').length") == 4
    assert "<b>dog</b> & co" in tab.run("find('#class').textContent")


def test_filters_and_order(tab: Tab) -> None:
    choose(tab, "split", "made/val")
    choose(tab, "sort", "worst")
    assert tab.run(IDS) == ["v2", "v1", "v0"]
    assert tab.run("find('#count').textContent") == "3 of 7 images"
    choose(tab, "sort", "best")
    assert tab.run(IDS) == ["v0", "v1", "v2"]
    choose(tab, "split", "")
    choose(tab, "by", "cam")
    assert tab.run(IDS)[4:] == ["v0", "v1", "v2"]  # not judged by it: last
    choose(tab, "class", "cat")
    assert tab.run(
        "[...document.querySelectorAll('article > header > .iou')].every(one => one.textContent.includes('of cat'))"
    )
    assert "class=cat" in tab.run("location.hash")


def test_columns_can_be_left_out(tab: Tab) -> None:
    tab.run("find('#columns input[value=\"masks/net\"]').click()")
    assert tab.run("document.querySelectorAll('[data-column=\"masks/net\"]').length") == 0
    assert tab.run("document.querySelectorAll('[data-column=\"masks/full\"]').length") == 3
    assert "hide=masks%2Fnet" in tab.run("location.hash")


def test_an_address_opens_what_it_says(tab: Tab, index: Path) -> None:
    tab.open(index, "#split=made%2Ftrain&sort=worst&blend=20&lines=0&hide=truth")
    assert tab.run(IDS) == ["t3", "t2", "t 1#?%&'<i>", "t0"]
    assert tab.run("find('#split').value") == "made/train"
    assert tab.run("getComputedStyle(find('.layer')).opacity") == "0.2"
    assert tab.run("getComputedStyle(find('.line')).display") == "none"
    assert tab.run("document.querySelectorAll('[data-column=truth]').length") == 0


def test_the_overlay_blends(tab: Tab) -> None:
    tab.run("(() => { const s = find('#blend'); s.value = 90; s.dispatchEvent(new Event('input')); })()")
    assert tab.run("getComputedStyle(find('.layer')).opacity") == "0.9"
    tab.run("find('#lines').click()")
    assert tab.run("getComputedStyle(find('.line')).display") == "none"


def test_heat_maps_by_class(tab: Tab) -> None:
    source = "find('article [data-column=\"cams/cam\"] .layer').getAttribute('src')"
    first = tab.run(source)
    tab.run("find('article .toggles [data-label=\"2\"]').click()")
    assert tab.run(source) != first
    assert tab.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    choose(tab, "class", "<b>dog</b> & co")
    assert tab.run(
        "[...document.querySelectorAll('.toggles [aria-pressed=true]')].every(one => one.dataset.label === '2')"
    )


def test_large_view_and_its_keys(tab: Tab) -> None:
    title, what = "find('#viewer-title').textContent", "find('#viewer-what').textContent"
    tab.run("find('article [data-column=\"supervision/pseudo\"] button').click()")
    tab.wait("viewer.open")
    assert tab.run(title) == "pseudo-mask: pseudo"
    assert tab.run(what).startswith("t0 · image 1 of 7 · IoU ")
    tab.press("ArrowRight")
    assert tab.run(title) == "ground truth"
    tab.press("ArrowRight")
    assert tab.run(title) == "image"
    tab.press("ArrowDown")
    assert tab.run(what).startswith("t 1#?%&'<i> · image 2")
    tab.press("ArrowUp")
    tab.press("ArrowUp")
    assert tab.run(what).startswith("v2 · image 7")
    tab.press("ArrowRight")
    assert "view=made%2Ftrain" not in tab.run("location.hash")
    tab.run("find('#viewer-title').click()")
    shown = "getComputedStyle(find('#viewer .layer')).display"
    tab.press(" ", up=False)
    tab.wait(f"{shown} === 'none'")
    tab.send("Input.dispatchKeyEvent", type="keyUp", key=" ")
    tab.wait(f"{shown} !== 'none'")
    tab.press("Escape")
    tab.wait("!viewer.open && location.hash === ''")  # the dialog tells of its end after it has ended
    assert tab.run("document.activeElement.closest('article').getAttribute('aria-label')") == "v2"


def test_dark_and_light(tab: Tab) -> None:
    tab.wait(f"{PLOTS} >= 4")
    colour = "getComputedStyle(find('#bars .xtick text')).fill"
    light = tab.run(colour)
    tab.look(dark=True)
    tab.wait(f"{colour} !== {light!r}")
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 23)"


def test_bars_by_iou_and_another_confusion(tab: Tab) -> None:
    tab.wait(f"{PLOTS} >= 4")
    names = "[...document.querySelectorAll('#bars .xtick text')].map(one => one.textContent)"
    assert tab.run(names) == ["background", *made_book.CLASSES]
    choose(tab, "bars-order", "0")
    bars = tab.run("report.plots.bars.data[0].y")
    sorted_names = [
        name for _, name in sorted(zip(bars, ["background", *made_book.CLASSES], strict=True), reverse=True)
    ]
    tab.wait(f"JSON.stringify({names}) === JSON.stringify({sorted_names!r})")
    before = tab.run("JSON.stringify(find('#confusion-plot').data[0].z)")
    choose(tab, "confusion-of", "0")
    assert tab.run("JSON.stringify(find('#confusion-plot').data[0].z)") != before


def test_a_matrix_of_classes_by_the_iou_of_one(tab: Tab) -> None:
    from pipeline.results.report.plots import class_figure

    tab.wait(f"{PLOTS} >= 4")
    cats = [3, 8, 1, 9, 5, 4, 7, 2, 6]
    made = {f"{k}": [{"class": "cat", "iou": f"{iou}"}, {"class": "dog", "iou": f"{k}"}] for k, iou in enumerate(cats)}
    tab.run(f"report.plots.bars = {json.dumps(class_figure(made))}; find('#bars-order').replaceChildren(); startBars()")
    names = "[...document.querySelectorAll('#bars .ytick text')].map(one => one.textContent)"
    tab.wait(f"{names}.length === 9")
    order = tab.run(names)
    choose(tab, "bars-order", "0")
    by_cat = [f"{k}" for k in sorted(range(9), key=lambda k: -cats[k])]
    # Ticks stand in the document as they are drawn, from above or from below.
    tab.wait(f"JSON.stringify({names}) === JSON.stringify({by_cat if order[0] == '0' else by_cat[::-1]!r})")


def test_a_narrow_window(tab: Tab) -> None:
    tab.look(width=420, height=800)
    tab.wait("innerWidth === 420 && document.documentElement.scrollWidth <= 420")  # plots follow a little later
