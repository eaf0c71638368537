"""One chain of a book, before it runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.book.load import checked_book
from pipeline.commands.app import JOBS, BookOption, JsonOption, app, complete_stage


@app.command(rich_help_panel=JOBS)
def show(
    name: Annotated[
        str,
        typer.Argument(help="A stage, e.g. evaluate@cam, or a name that only one has.", autocompletion=complete_stage),
    ],
    book: BookOption = ".",
    graph: Annotated[
        Path | None, typer.Option("--graph", help="Write the graph too: FILE.svg, or FILE.mmd for Mermaid.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print one chain as it will run: its stages in order, their options with defaults, files, state and cost.

    Nothing runs: the state of a stage is a comparison of dvc.lock with the book and the code. Its cost is the time of
    its last run on this machine, and what can be counted: images, views, steps.

    Examples: ``python -m pipeline show segmenter_val``; ``python -m pipeline show segmenter_val --graph chain.svg``;
    ``python -m pipeline show evaluate@walk --book recipes/voc_mini``.
    """
    from pipeline.book.graph_file import check_graph_file
    from pipeline.book.links import link_sources
    from pipeline.results.chain.collect import chain
    from pipeline.results.chain.names import named_entry
    from pipeline.running.at_work import being_written

    checked = checked_book(book)
    check_graph_file(Path(checked.book.path))
    link_sources(checked)
    found = chain(checked, named_entry(checked, name), being_written())
    if graph is not None:
        from pipeline.results.chain.drawing import write_drawing

        write_drawing(found, graph)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    from pipeline.results.chain.text import print_chain

    print_chain(found)
    if graph is not None:
        print(f"Written: {graph.as_posix()}")
