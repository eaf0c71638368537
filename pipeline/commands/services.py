"""Prefect and MLflow: a book as a flow, as a deployment, and the servers on this machine."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import Annotated

import typer

from pipeline.commands.app import SERVICES, BookOption, ForceOption, TargetsArgument, app, book_to_run
from pipeline.commands.results import table

PATIENCE = 60.0
"""Seconds that ``serve`` waits for a server which may be starting."""


@app.command(rich_help_panel=SERVICES)
def flow(
    targets: TargetsArgument = None,
    book: BookOption = ".",
    force: ForceOption = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Stages at once. Default: the cores, and one training for each device.")
    ] = None,
) -> None:
    """Run a book as a Prefect flow: one task for each DVC stage, independent branches side by side.

    Without a server nothing has to be started. With ``PREFECT_API_URL=http://127.0.0.1:4200/api`` the run shows in
    the UI of ``python -m pipeline server``.

    Examples: ``python -m pipeline flow``; ``python -m pipeline flow evaluate@cam --book recipes/voc_mini --jobs 2``.
    """
    from pipeline.book.check_inputs import check_targets

    check_targets(book_to_run(book, targets), targets or [])
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect reads it when it is imported
    from pipeline.compute.servers import check_prefect
    from pipeline.running import flow as flows

    if url := flows.api_url():
        check_prefect(url)
    flows.run(book, targets or [], force, jobs)
    table(book)


@app.command(rich_help_panel=SERVICES)
def serve(
    targets: TargetsArgument = None,
    book: BookOption = ".",
    force: ForceOption = False,
    cron: Annotated[str | None, typer.Option(help="Schedule in UTC, e.g. '0 2 * * *' for every night.")] = None,
) -> None:
    """Offer the flow as Prefect's deployment weak2mask/book; the arguments are what its form starts with.

    Needs a server: ``python -m pipeline server``, or the one that PREFECT_API_URL names. It waits a minute for one.

    Examples: ``python -m pipeline serve``; ``python -m pipeline serve --book recipes/voc_mini --cron '0 2 * * *'``;
    then ``prefect deployment run weak2mask/book --param targets='["evaluate@cam"]'``.
    """
    from pipeline.book.check_inputs import check_targets
    from pipeline.compute.servers import DEFAULT_API, await_prefect

    check_targets(book_to_run(book, targets), targets or [])
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_API_URL", DEFAULT_API)
    await_prefect(os.environ["PREFECT_API_URL"], PATIENCE, partial(print, file=sys.stderr, flush=True))
    from pipeline.running import flow as flows

    flows.serve(book, targets or [], force, cron)


@app.command(rich_help_panel=SERVICES)
def server(
    port: Annotated[int, typer.Option(help="Port.")] = 4200,
    host: Annotated[str, typer.Option(help="Address of this machine; others cannot reach it.")] = "127.0.0.1",
) -> None:
    """Run Prefect's server and UI, on this machine only; runs are kept in .prefect/.

    Examples: ``python -m pipeline server``; ``python -m pipeline server --port 4210``.
    """
    from pipeline.compute.servers import become_prefect_server, check_address

    check_address(host, port)
    print(f"Runs show at http://{host}:{port} when they are started with\n")
    print(f"  export PREFECT_API_URL=http://{host}:{port}/api\n", flush=True)
    become_prefect_server(host, port)


@app.command(rich_help_panel=SERVICES)
def mlflow(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000) -> None:
    """Open the recorded runs in MLflow's UI, on this machine only.

    Example: ``python -m pipeline mlflow --port 5001``.
    """
    from pipeline.tracking.log import become_mlflow_ui

    become_mlflow_ui(port)


@app.command(rich_help_panel=SERVICES)
def cluster(
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, one compute thread each.")] = 2,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the scheduler on 127.0.0.1.")] = 8786,
) -> None:
    """Start a Dask scheduler and workers on this machine, until Ctrl-C; no other machine can reach them.

    Example: ``python -m pipeline cluster --workers 4``, and in another terminal
    ``WEAK2MASK_ENGINE=dask WEAK2MASK_DASK=tcp://127.0.0.1:8786 python -m pipeline run``.
    For several machines see docs/howto/cluster.md.
    """
    from pipeline.compute.engines.cluster import served

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), served(workers, port) as address:
        print(f"{workers} workers at {address}. Ctrl-C ends them. In another terminal:")
        print(f"export WEAK2MASK_ENGINE=dask WEAK2MASK_DASK={address}", flush=True)
        signal.pause()
