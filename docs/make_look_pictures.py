"""The pictures of docs/howto/look.md, from what a run of the toy book has left in ``work/toy``; needs Chromium.

    python -m pipeline run                            # the main chain, or a part of it
    python docs/make_look_pictures.py                 # writes look_light.jpg and look_dark.jpg to docs/pictures

A page of the book is opened in a browser, labels are drawn on one scene with the mouse, and nothing of it is kept.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from PIL import Image as Pictures

from pipeline.look.application import application
from pipeline.look.guard import Guard
from pipeline.look.serving import open_desk
from tests.helpers.browser import Tab, browser

FOLDER = Path(__file__).parent / "pictures"
SCENE = "train_00004"
"""A lizard and a toad."""
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


def main() -> None:
    """Write the picture in light and in dark."""
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
            for scheme in ("light", "dark"):
                tab.look(1280, 760, dark=scheme == "dark")
                time.sleep(0.5)  # until it is painted
                path, shot = FOLDER / f"look_{scheme}.jpg", Path(scratch) / "shot.png"
                tab.picture(shot)
                Pictures.open(shot).convert("RGB").save(path, quality=88, optimize=True)
                sys.stdout.write(f"Written: {path}, {path.stat().st_size // 1000} kB\n")
        server.should_exit = True


if __name__ == "__main__":
    main()
