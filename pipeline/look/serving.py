"""The server: made of a book or a folder, and run until Ctrl-C."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from models.errors import ConfigurationError
from pipeline.book.links import link_sources
from pipeline.book.load import checked_book
from pipeline.compute.servers import is_loopback, require_free
from pipeline.look.desk import Desk
from pipeline.look.guard import Guard
from pipeline.look.images import DataSets, folder_images
from pipeline.look.predicting import Predictions

ANNOTATIONS = Path("annotations")
"""In the project's root: labels that people draw belong into Git."""


def open_desk(
    place: str, classes: Sequence[str] | None = None, out: Path | None = None, checkpoint: str | None = None
) -> Desk:
    """What the page shows.

    Args:
        place: folder of a book, or of images.
        classes: names to draw with, of a folder of images.
        out: where labels are drawn to; by default ``annotations/BOOK/DATA`` for a book, and the folder itself.
        checkpoint: a network to predict with, beside those of the book.

    Raises:
        ConfigurationError: the book does not hold, or a folder without class names.
        DataError: a folder without images.
    """
    folder = Path(place)
    if any((folder / name).is_file() for name in ("params.yaml", "book.yaml")):
        if classes:
            raise ConfigurationError(f"--classes is for folders of images: {place} is a book, which has its classes.")
        book = checked_book(place)
        link_sources(book)
        desk = Desk(
            book.table.title or book.name,
            book,
            DataSets(book),
            out or ANNOTATIONS / book.name,
            Predictions(book, checkpoint),
        )
    elif folder.is_dir():
        images = folder_images(folder, classes)
        title = images.catalogue.name
        desk = Desk(title, None, DataSets(None, images), out or folder, Predictions(None, checkpoint))
    else:
        raise ConfigurationError(f"{place}: expected the folder of a recipe book, or a folder of images, found none.")
    desk.predictions.check()
    return desk


def new_guard(host: str, port: int) -> Guard:
    """The guard of a new start.

    Raises:
        ConfigurationError: no port, or nobody can listen there.
    """
    if not 0 < port < 65536:
        raise ConfigurationError(f"--port {port}: expected 1 to 65535.")
    require_free(host, port)
    return Guard(host, secrets.token_urlsafe(24))


def address(guard: Guard, port: int) -> str:
    """What a browser on this machine opens."""
    host = "127.0.0.1" if _is_every_address(guard.host) else f"[{guard.host}]" if ":" in guard.host else guard.host
    return f"http://{host}:{port}/{guard.token}/"


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:  # a name
        return False


def who_can_reach(guard: Guard, port: int) -> str:
    """What a host opens, in a sentence or two."""
    if is_loopback(guard.host):
        return "Only this machine can reach it, and only with this address."
    return (
        f"Warning: --host {guard.host} lets other machines reach port {port}. Whoever has the address (it goes over "
        "the network unencrypted) sees all images and labels, saves labels into this project, and uses this machine to "
        f"predict. Safer: without --host, through ssh -L {port}:127.0.0.1:{port} THIS_MACHINE."
    )


def serve(desk: Desk, guard: Guard, port: int) -> None:
    """Answer until Ctrl-C."""
    import uvicorn

    from pipeline.look.application import application

    with suppress(KeyboardInterrupt):
        uvicorn.run(
            application(desk, guard),
            host=guard.host,
            port=port,
            log_level="warning",
            access_log=False,  # a log would have the token
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            limit_concurrency=100,
            timeout_graceful_shutdown=2,
        )
