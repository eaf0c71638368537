"""The local page: browse, draw labels, try a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.app import RESULTS, app, complete_book, program


@app.command(rich_help_panel=RESULTS)
def look(
    place: Annotated[
        str, typer.Argument(help="Folder of a recipe book, or of images.", autocompletion=complete_book)
    ] = ".",
    classes: Annotated[
        str | None, typer.Option(help="Class names to draw with, separated by commas, for a folder of images.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", "-c", help="A network to predict with, beside the book's: its folder.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder of drawn labels. Default: annotations/BOOK/DATA, or the folder of images."
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port.")] = 8421,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Any but 127.0.0.1 opens the page to other machines.")
    ] = "127.0.0.1",
) -> None:
    """Open a local page: browse the images of a book with all that was made of them, draw labels, try a network.

    Open the address that it prints in a browser on this machine; Ctrl-C ends it. Points, boxes and scribbles that you
    save are files that ``import_annotations`` reads; the page shows the lines that the book needs for them. It works
    before anything has run, and for a plain folder of images, whose labels ``init`` then finds.

    Examples:

    - ``python -m pipeline look``
    - ``python -m pipeline look recipes/mine --port 8500``
    - ``python -m pipeline look photos/ --classes cat,dog``
    """
    from pipeline.look.serving import address, new_guard, open_desk, serve, who_can_reach

    names = [name.strip() for name in classes.split(",") if name.strip()] if classes else None
    desk = open_desk(place, names, out, checkpoint)
    desk.program = program()
    guard = new_guard(host, port)
    print(f"{desk.title}: open {address(guard, port)}\n{who_can_reach(guard, port)} Ctrl-C ends it.", flush=True)
    serve(desk, guard, port)
