"""The pictures of docs/howto/look.md, from what a run of the toy book has left in ``work/toy``; needs Chromium.

    python -m pipeline run                            # the main chain: the second picture wants its segmenter
    python docs/make_look_pictures.py                 # writes look_*.jpg and look_predict_*.jpg to docs/pictures

A page of the book is opened in a browser, labels are drawn on one scene with the mouse, and another one, which nothing
was trained on, is dropped on the page. Nothing of it is kept.
"""

from __future__ import annotations

import base64
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from PIL import Image as Pictures

from pipeline.book.artifacts import artifact
from pipeline.datasets.catalogue import Catalogue
from pipeline.look.application import application
from pipeline.look.guard import Guard
from pipeline.look.serving import open_desk
from tests.helpers.browser import Tab, browser

FOLDER = Path(__file__).parent / "pictures"
SCENE = "train_00004"
"""A lizard and a toad."""
DROPPED = "val_00009"
LOADED = "[...document.querySelectorAll('#stage img')].every(one => one.complete && one.naturalWidth)"


def drag(tab: Tab, *places: tuple[float, float]) -> None:
    """Draw through places of the image, in parts of its width and height."""
    left, top, width, height = tab.run(
        "(({left, top, width, height}) => [left, top, width, height])"
        "(document.querySelector('#stage').getBoundingClientRect())"
    )
    tab.drag(*((left + x * width, top + y * height) for x, y in places))


def draw(tab: Tab) -> None:
    """A scribble on the lizard, a box around the toad, a point and a scribble on the background."""
    for key in "s5":
        tab.press(key)
    drag(tab, (0.80, 0.12), (0.77, 0.25), (0.73, 0.38), (0.68, 0.55))
    tab.press("0")
    drag(tab, (0.08, 0.30), (0.16, 0.22), (0.25, 0.27), (0.33, 0.20))
    tab.press("p")
    drag(tab, (0.15, 0.80))
    for key in "b4":
        tab.press(key)
    drag(tab, (0.47, 0.43), (0.98, 0.99))


def predict(tab: Tab) -> None:
    """Drop a scene of the validation split on the page, as a file from elsewhere."""
    catalogue = Catalogue.load(artifact("work/toy", "catalogues", "toy"))
    content = catalogue.path(catalogue.entry(DROPPED).image).read_bytes()
    tab.run(
        f"""(() => {{
          const bytes = Uint8Array.from(atob({base64.b64encode(content).decode()!r}), one => one.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], 'new_photo.png', {{ type: 'image/png' }}));
          document.body.dispatchEvent(new DragEvent('drop', {{ dataTransfer, bubbles: true, cancelable: true }}));
        }})()"""
    )
    tab.wait("document.querySelector('#prediction table')", 600)
    tab.wait(LOADED)


def take(tab: Tab, name: str, scratch: Path) -> None:
    """Write the picture in light and in dark."""
    for scheme in ("light", "dark"):
        tab.look(1280, 760, dark=scheme == "dark")
        time.sleep(0.5)  # until it is painted
        path, shot = FOLDER / f"{name}_{scheme}.jpg", scratch / "shot.png"
        tab.picture(shot)
        Pictures.open(shot).convert("RGB").save(path, quality=88, optimize=True)
        sys.stdout.write(f"Written: {path}, {path.stat().st_size // 1000} kB\n")


def main() -> None:
    """Write all pictures."""
    with socket.socket() as held, tempfile.TemporaryDirectory() as scratch:
        held.bind(("127.0.0.1", 0))
        app = application(open_desk(".", out=Path(scratch) / "drawn"), Guard("127.0.0.1", "picture"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        threading.Thread(target=server.run, kwargs={"sockets": [held]}, daemon=True).start()
        while not server.started:
            time.sleep(0.05)
        with browser(Path(scratch) / "profile") as tab:
            tab.look(1280, 760)
            tab.visit(f"http://127.0.0.1:{held.getsockname()[1]}/picture/#set=toy&split=train&id={SCENE}")
            tab.wait(f"document.querySelector('#stage img') && {LOADED}", 120)
            draw(tab)
            tab.run("document.querySelector('#save').click()")
            tab.wait("document.querySelector('#save').disabled && document.querySelector('#say').hidden", 30)
            take(tab, "look", Path(scratch))
            predict(tab)
            take(tab, "look_predict", Path(scratch))
        server.should_exit = True


if __name__ == "__main__":
    main()
