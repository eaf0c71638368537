"""The local page as a person meets it: a server of its own, a real browser, a mouse."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import uvicorn
import yaml
from PIL import Image

from models.structures import UNLABELLED
from pipeline.binders import import_annotations
from pipeline.book.params import Book
from pipeline.look.application import application
from pipeline.look.guard import Guard
from pipeline.storage.stores import SupervisionStore
from pipeline.tracking.log import Log
from tests.helpers import look_book, made_book
from tests.helpers.browser import CHROMIUM, Tab, browser

pytest.importorskip("websockets")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.xdist_group("browser"),
]

HEIGHT, WIDTH = made_book.SIZE
ODD = made_book.IDS["train"][1]
FOLDER = Path("annotations/made/made")
THUMBS = "[...document.querySelectorAll('.thumb')]"


@dataclass(frozen=True)
class Site:
    """A running server, the book behind it and the folder that the book lies in."""

    address: str
    book: Book
    folder: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("look #1")
        patch.chdir(folder)
        patch.setenv("WEAK2MASK_WORKERS", "0")
        book = look_book.book()
        made_book.make(book, stages=("cams/cam", "cams/crf", "supervision/pseudo", "masks/net"))
        look_book.make_network(book)
        with free_port() as (port, held):
            app = application(look_book.desk(book), Guard("127.0.0.1", "secret"))
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [held]}, daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.02)
            yield Site(f"http://127.0.0.1:{port}/secret/", book, folder)
            server.should_exit = True
            thread.join(20)


@contextmanager
def free_port() -> Iterator[tuple[int, socket.socket]]:
    """A port of this machine, and a socket that holds it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1], held


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(chromium: Tab, site: Site) -> Iterator[Tab]:
    """The page, freshly opened; in the end nothing went wrong and nothing came from elsewhere."""
    chromium.problems.clear()
    chromium.requests.clear()
    chromium.look()
    chromium.visit(site.address)
    chromium.wait("document.querySelector('.thumb')")
    yield chromium
    assert chromium.problems == []
    assert all(url.startswith((site.address, "data:", "about:", "blob:")) for url in chromium.requests)


def text(tab: Tab, selector: str) -> str:
    """Of an element of the page."""
    return str(tab.run(f"document.querySelector({json.dumps(selector)}).textContent"))


def enter(tab: Tab, selector: str, value: str, event: str = "input") -> None:
    """Give a field a value, as a person does."""
    script = f"one.value = {json.dumps(value)}; one.dispatchEvent(new Event('{event}'));"
    tab.run(f"(() => {{ const one = document.querySelector({json.dumps(selector)}); {script} }})()")


def is_open(tab: Tab, id: str) -> None:
    """Wait until an image is open, with all its pictures."""
    tab.wait(f"document.querySelector('#image-title').textContent === {json.dumps(id)}")
    tab.wait("!document.querySelector('#open').hidden")
    tab.wait("[...document.querySelectorAll('#stage img')].every(one => one.complete && one.naturalWidth)")


def open_image(tab: Tab, id: str) -> None:
    tab.run(f"{THUMBS}.find(one => one.dataset.id === {json.dumps(id)}).click()")
    is_open(tab, id)


def on_screen(tab: Tab, *places: tuple[float, float]) -> list[tuple[float, float]]:
    """Where pixels of the image are in the window."""
    left, top, width, height = tab.run(
        "(({left, top, width, height}) => [left, top, width, height])"
        "(document.querySelector('#stage').getBoundingClientRect())"
    )
    return [(left + x * width / WIDTH, top + y * height / HEIGHT) for x, y in places]


def ways_to_use(tab: Tab, count: str, title: str) -> str:
    """What the page says of the labels for one way to use them: the lines for the book."""
    tab.run("document.querySelector('#use-open').click()")
    tab.wait("document.querySelector('#use').open")
    assert text(tab, "#use-count") == count
    assert not tab.run("document.querySelector('#use pre')")  # nobody has chosen yet
    tab.run(f"document.querySelector('#use input[value={json.dumps(title)}]').click()")
    lines = text(tab, "#use pre.lines")
    tab.run("document.querySelector('#use').close()")
    return lines


def imported(lines: str) -> SupervisionStore:
    entries = yaml.safe_load(lines)["import_annotations"]
    import_annotations.run(look_book.book(import_annotations=entries), "drawn", Log())
    return SupervisionStore(Path("work/made/supervision/drawn"))


def draw_point(tab: Tab, x: float, y: float) -> None:
    tab.press("p")
    tab.press("1")
    tab.drag(*on_screen(tab, (x, y)))


def is_saved(tab: Tab) -> None:
    tab.wait("document.querySelector('#counts').textContent.endsWith('All saved.')")


def test_a_label_is_saved_and_used_before_the_others_are_drawn(tab: Tab) -> None:
    open_image(tab, "t2")
    draw_point(tab, 3.5, 4.5)
    is_saved(tab)  # by itself
    assert (FOLDER / "points.csv").read_text() == "image,class,x,y\nt2,cat,3,4\n"
    tab.press("Escape")
    tab.wait("document.querySelector('#drawn-count').textContent === '1 of 4 images drawn'")
    store = imported(ways_to_use(tab, "1 of 4 images of train are drawn.", "Left out"))
    assert store.ids == ("t2",)
    assert np.argwhere(store["t2"].seeds != UNLABELLED).tolist() == [[4, 3]]


def test_labels_that_were_not_saved_outlive_the_page(tab: Tab, site: Site) -> None:
    open_image(tab, "t3")
    tab.run("window.fetch = () => Promise.reject(new Error('ended'))")  # as when the server has ended
    draw_point(tab, 7.5, 8.5)
    tab.wait("document.querySelector('#say').textContent.includes('kept in this browser')")
    tab.visit(site.address)
    tab.wait("document.querySelector('#say').textContent.includes('Saved now, what had not been saved: t3.')")
    assert "t3,cat,7,8" in (FOLDER / "points.csv").read_text()
    assert tab.run("Object.keys(localStorage).length") == 0


@pytest.mark.parametrize(("button", "kept"), [("#keep-mine", 2), ("#take-theirs", 1)])
def test_two_windows_are_asked_whose_labels_stay(tab: Tab, button: str, kept: int) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "points.csv").write_text("image,class,x,y\n")
    open_image(tab, "t0")
    (FOLDER / "points.csv").write_text("image,class,x,y\nt0,cat,1,1\n")  # the other window
    draw_point(tab, 20.5, 20.5)
    draw_point(tab, 30.5, 20.5)
    tab.wait("!document.querySelector('#conflict').hidden")
    assert (FOLDER / "points.csv").read_text() == "image,class,x,y\nt0,cat,1,1\n"
    tab.run("document.querySelector('#image-next').click()")  # and back: nothing is decided, nothing is lost
    is_open(tab, ODD)
    tab.run("document.querySelector('#image-previous').click()")
    is_open(tab, "t0")
    assert text(tab, "#counts").startswith("2 points")
    assert not tab.run("document.querySelector('#conflict').hidden")
    tab.run(f"document.querySelector('{button}').click()")
    is_saved(tab)
    assert tab.run("document.querySelector('#conflict').hidden")
    assert len((FOLDER / "points.csv").read_text().splitlines()) == 1 + kept
    assert tab.run("Object.keys(localStorage).length") == 0
    tab.problems.clear()  # the browser notes the 409


def test_draw_save_import(tab: Tab) -> None:
    (FOLDER / "points.csv").unlink(missing_ok=True)
    open_image(tab, ODD)
    tab.press("p")
    tab.press("2")
    tab.drag(*on_screen(tab, (10.5, 30.5)))
    tab.press("s")
    tab.press("1")
    tab.drag(*on_screen(tab, (20.5, 10.5), (40.5, 10.5), (40.5, 20.5)))
    tab.press("0")
    tab.drag(*on_screen(tab, (5.5, 35.5), (55.5, 35.5)))
    tab.press("b")
    tab.press("2")
    tab.drag(*on_screen(tab, (12, 5), (30, 18)))
    tab.drag(*on_screen(tab, (40, 25), (50, 30)))
    tab.send("Input.dispatchKeyEvent", type="keyDown", key="z", modifiers=2)
    assert "1 point, 1 box" in text(tab, "#counts")
    tab.run("document.querySelector('#save').click()")
    tab.wait("document.querySelector('#save').disabled")
    assert (FOLDER / "boxes.csv").read_text() == f"image,class,x1,y1,x2,y2\n{ODD},<b>dog</b> & co,12,5,30,18\n"
    assert (FOLDER / "points.csv").read_text() == f"image,class,x,y\n{ODD},<b>dog</b> & co,10,30\n"
    rest = [id for id in made_book.IDS["train"] if id != ODD]
    for id in rest:  # an import wants every image: those have no object, a click, and no stroke
        tab.run(f"location.hash = '#set=made&split=train&id={id}'")
        tab.wait(f"document.querySelector('#image-title').textContent === '{id}'")
        tab.press("p")
        tab.drag(*on_screen(tab, (1.5, 1.5)))
        tab.press("s")
        tab.drag(*on_screen(tab, (30.5, 38.5), (32.5, 38.5)))
        tab.run("document.querySelector('#no-object').click()")
    tab.press("Escape")  # which saves
    tab.wait("!document.querySelector('#browse').hidden")
    tab.wait("document.querySelectorAll('.thumb .mark').length === 4")
    stored = imported(ways_to_use(tab, "4 of 4 images of train are drawn.", "Alone"))[ODD]
    seeds = stored.seeds
    assert seeds[30, 10] == 2
    assert stored.boxes.tolist() == [[12, 5, 30, 18]]  # type: ignore[union-attr]
    assert (seeds[10, 20:41] == 1).all()
    assert (seeds[10:21, 40] == 1).all()
    assert (seeds[35, 5:56] == 0).all()
    assert set(np.unique(seeds)) == {0, 1, 2, UNLABELLED}
    assert (seeds == 2).sum() == 1
    near = (np.abs(np.arange(HEIGHT) - 10) <= 3)[:, None] & ((np.arange(WIDTH) >= 17) & (np.arange(WIDTH) <= 43))[None]
    near |= ((np.arange(HEIGHT) >= 7) & (np.arange(HEIGHT) <= 23))[:, None] & (np.abs(np.arange(WIDTH) - 40) <= 3)[None]
    assert not (seeds[~near] == 1).any()


def test_erase_undo_redo(tab: Tab) -> None:
    open_image(tab, "t2")
    before = marks(tab)
    tab.press("b")
    tab.press("1")
    tab.drag(*on_screen(tab, (10, 10), (30, 30)))
    tab.press("s")
    tab.drag(*on_screen(tab, (50.5, 20.5), (55.5, 20.5)))
    drawn = marks(tab)
    tab.press("e")
    tab.drag(*on_screen(tab, (10, 20)))  # the box's border
    tab.drag(*on_screen(tab, (49, 20.5), (57, 20.5)))
    assert text(tab, "#counts").split(",")[1] == before.split(",")[1]
    for _ in range(2):
        tab.run("document.querySelector('#undo').click()")
    assert marks(tab) == drawn
    for _ in range(2):
        tab.run("document.querySelector('#undo').click()")
    assert marks(tab) == before
    tab.run("document.querySelector('#redo').click()")
    assert marks(tab) != before
    tab.run("document.querySelector('#undo').click()")
    tab.wait("document.querySelector('#save').disabled")


def test_a_dropped_image_has_none_of_the_marks_before(tab: Tab) -> None:
    open_image(tab, "t2")
    draw_point(tab, 3.5, 30.5)
    is_saved(tab)
    drop(tab)
    assert tab.run("document.querySelectorAll('#stage .dot').length") == 0


def test_zoom_keeps_the_place(tab: Tab) -> None:
    open_image(tab, "t0")
    x, y = on_screen(tab, (50, 30))[0]
    for _ in range(3):
        tab.send("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-100, modifiers=2)
    tab.wait("document.querySelector('#stage').offsetWidth > 1.5 * document.querySelector('#frame').clientWidth")
    after = on_screen(tab, (50, 30))[0]
    assert abs(after[0] - x) < 3
    assert abs(after[1] - y) < 3
    tab.press("Home")
    tab.wait("document.querySelector('#stage').offsetWidth <= document.querySelector('#frame').clientWidth")


def marks(tab: Tab) -> str:
    """How many marks there are; not whether they are saved."""
    return text(tab, "#counts").partition(".")[0]


def test_layers_and_keys(tab: Tab) -> None:
    open_image(tab, "t0")
    shown = "[...document.querySelectorAll('#layers input:checked')].map(one => one.dataset.layer)"
    layers = "document.querySelectorAll('#stage img.layer').length"
    assert tab.run(shown) == ["supervision/pseudo"]
    tab.run("document.querySelector('[data-layer=\"cams/cam\"]').click()")
    assert tab.run(layers) == 2
    source = "document.querySelector('#stage img.heat').src"
    first = tab.run(source)
    tab.run("[...document.querySelectorAll('.maps button')][1].click()")
    assert tab.run(source) != first
    enter(tab, "#blend", "20", "input")
    assert tab.run("getComputedStyle(document.querySelector('#stage img.layer')).opacity") == "0.2"
    assert "cat" in tab.run("document.querySelector('#legend').textContent")
    tab.run("document.querySelector('#frame').focus()")
    tab.press("ArrowRight")
    tab.wait(f"document.querySelector('#image-title').textContent === {json.dumps(ODD)}")
    tab.wait(f"{layers} === 2")
    width = tab.run("document.querySelector('#stage').offsetWidth")
    tab.press("+")
    assert tab.run("document.querySelector('#stage').offsetWidth") > 1.4 * width
    tab.press("Escape")
    tab.wait("!document.querySelector('#browse').hidden")
    tab.wait(f"document.activeElement.dataset.id === {json.dumps(ODD)}")
    tab.press("ArrowRight")
    assert tab.run("document.activeElement.dataset.id") == "t2"


def test_filters_are_kept_in_the_address(tab: Tab, site: Site) -> None:
    enter(tab, "#split", "val", "change")
    tab.wait(f"{THUMBS}.map(one => one.dataset.id).join() === 'v0,v1,v2'")
    enter(tab, "#find", "2", "input")
    tab.wait(f"{THUMBS}.map(one => one.dataset.id).join() === 'v2'")
    address = tab.run("location.href")
    tab.visit(address)
    tab.wait(f"{THUMBS}.map(one => one.dataset.id).join() === 'v2'")
    assert tab.run("document.querySelector('#find').value") == "2"


def drop(tab: Tab) -> None:
    """Drop an image file on the page, and wait for its mask."""
    content = Path("work/made/catalogues/made/images/4.png").read_bytes()
    tab.run(
        f"""(() => {{
          const bytes = Uint8Array.from(atob({base64.b64encode(content).decode()!r}), one => one.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], 'new.png', {{ type: 'image/png' }}));
          document.body.dispatchEvent(new DragEvent('drop', {{ dataTransfer, bubbles: true, cancelable: true }}));
        }})()"""
    )
    tab.wait("document.querySelector('#prediction table')", 120)


def test_drop_an_image(tab: Tab) -> None:
    drop(tab)
    assert tab.run("document.querySelector('#image-title').textContent") == "new.png"
    assert tab.run("document.querySelector('#draw-panel').hidden")
    rows = tab.run("[...document.querySelectorAll('#prediction tbody tr')].map(one => one.textContent)")
    assert any("background" in row for row in rows)
    tab.wait("[...document.querySelectorAll('#stage img')].every(one => one.complete && one.naturalWidth)")
    assert tab.run("document.querySelectorAll('#stage img.layer').length") == 1
    saved = tab.run("document.querySelector('#download').href").partition(",")[2]
    mask = Image.open(io.BytesIO(base64.b64decode(saved)))
    assert (mask.size, mask.mode, tab.run("document.querySelector('#download').download")) == ((60, 40), "P", "new.png")
    tab.run("document.querySelector('[data-layer=\"predicted unsure\"]').click()")
    tab.wait("document.querySelectorAll('#stage img.heat').length === 1")


def test_dark_and_narrow(tab: Tab) -> None:
    light = tab.run("getComputedStyle(document.body).backgroundColor")
    tab.look(width=400, height=800, dark=True)
    tab.wait("innerWidth === 400")
    assert tab.run("getComputedStyle(document.body).backgroundColor") != light
    assert tab.run("document.documentElement.scrollWidth <= 400")
    open_image(tab, "t0")
    assert tab.run("document.documentElement.scrollWidth <= 400")
    assert tab.run("document.querySelector('#stage').offsetWidth") > 200
