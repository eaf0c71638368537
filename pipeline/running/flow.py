"""A book as a Prefect flow, one task for each DVC stage: the only file that imports prefect.

DVC stays the only graph and the only cache: a task runs ``dvc repro --single-item`` and reports how that ended.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from prefect import allow_failure, flow, get_client, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.schedules import CronSchedule
from prefect.concurrency.sync import concurrency
from prefect.flows import EntrypointType
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed, State

from models.errors import ConfigurationError, TransientError, Weak2MaskError
from pipeline.book.check_inputs import check_targets
from pipeline.book.load import checked_book
from pipeline.book.params import load_book
from pipeline.compute.bars import read_progress
from pipeline.compute.lifeline import COMMAND, bound_subprocess, end_with_command
from pipeline.compute.servers import start_prefect
from pipeline.new_book.names import slug
from pipeline.running.flow_log import quieten, shorten_task_lines
from pipeline.running.graph import FIRST, Stage, plan, read_graph
from pipeline.running.plan import PlanRun
from pipeline.running.prefork import prefork
from pipeline.running.repro import check_environment, must_fingerprint, recording
from pipeline.running.stage_notes import MADE, Notes
from pipeline.running.stage_process import StageOutcome

RETRY_AFTER = [5, 30, 120]
"""Seconds before each new try of a stage that was killed, or that found DVC's lock taken."""
ARTIFACT_EVERY, LOG_EVERY = 2.0, 30.0
"""Seconds between two reports of progress, to the artifact and to the log."""
LEASE = 60.0
"""Seconds after which the GPU of a killed flow is free again."""

STATES = {"ran": "Completed", "cached": "Cached", "restored": "Restored", "failed": "Failed"} | {
    "interrupted": "Interrupted",
    "blocked": "Blocked",
}


class StagesError(Weak2MaskError):
    """A flow run failed; ``exit_code`` is the first failed stage's own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(book: str, targets: list[str], force: bool = False, jobs: int | None = None) -> None:
    """Run a book's stages as a Prefect flow, on the server that ``PREFECT_API_URL`` names or on none.

    Raises:
        StagesError: a stage failed; the other branches ran to their end.
        TransientError: Prefect's own server did not start.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # or the server of the run stays behind
    quieten()
    if not api_url():
        from prefect.server.api import server

        server.subprocess = bound_subprocess()  # or a server would stay behind a flow that SIGKILL has ended
        settings = get_current_settings()
        patience = settings.server.ephemeral.startup_timeout_seconds
        start_prefect(partial(get_client, sync_client=True), settings.home, patience)
    state = run_book(book, targets, force, jobs, return_state=True)
    if not state.is_completed():
        code = state.result(raise_on_failure=False)
        raise StagesError(state.message or state.name, code if isinstance(code, int) else 1)


def serve(book: str, targets: list[str], force: bool = False, cron: str | None = None) -> None:
    """Wait for runs that are started from the UI, by ``prefect deployment run weak2mask/book`` or by a schedule.

    Raises:
        ConfigurationError: ``cron`` is no schedule.
    """
    if cron is not None:
        try:
            CronSchedule(cron=cron)
        except ValueError:
            raise ConfigurationError(
                f"--cron '{cron}': expected five fields, minute hour day month weekday, as in '0 2 * * *' (UTC)."
            ) from None
    os.environ[COMMAND] = str(os.getpid())  # of the flow runs, each a process
    run_book.serve(
        name="book",
        cron=cron,
        parameters={"book": book, "targets": targets, "force": force},
        limit=1,  # a second run of the same stages would only wait for DVC's locks
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def api_url() -> str | None:
    """The address of the Prefect API that is asked for, in the environment or in Prefect's profile; None: no server."""
    url = get_current_settings().api.url
    return str(url) if url else None


def _run_name() -> str:
    given = flow_run.parameters
    try:
        name = load_book(given["book"]).name
    except Weak2MaskError:
        name = str(given["book"])
    return f"{name}: {', '.join(given['targets']) or 'the book'}"


@flow(name="weak2mask", flow_run_name=_run_name, persist_result=False)
def run_book(
    book: str = ".",
    targets: list[str] = [],  # noqa: B006 (Prefect shows the default in its form, and nobody changes it)
    force: bool = False,
    jobs: int | None = None,
) -> State:
    """Run the stages of a recipe book that are not up to date.

    Args:
        book: folder of the recipe book, from the project's root: `.` or `recipes/voc_mini`.
        targets: stages to run, with what they need, such as `evaluate@cam`. Empty list: the book's `targets`, or all.
        force: run them even if nothing has changed.
        jobs: how many stages at once. None: as many as the cores, and one training for each device.
    """
    end_with_command()
    try:
        checked = checked_book(book, files=True, targets=targets)
        check_environment()
        targets = targets or checked.book.targets
        check_targets(checked, targets)
        forced = [FIRST] if must_fingerprint(checked) else []
        plan_run = PlanRun(plan(read_graph(Path(checked.book.path) / "dvc.yaml"), targets), force, jobs, forced)
    except Weak2MaskError as error:
        return Failed(name="Refused", message=str(error), data=error.exit_code)
    notes = Notes(checked)
    try:
        with recording(), prefork():
            run_all(plan_run, notes, checked.name)
    finally:
        notes.close()
    for failure in plan_run.failures.values():
        return Failed(message=plan_run.summary(), data=failure.code)
    return Completed(message=plan_run.summary())


def run_all(plan_run: PlanRun, notes: Notes, book: str) -> None:
    """Every stage of the plan as a task of the flow run that this is called in; ``book`` begins the artifacts' names.

    A failing stage leaves the branches beside it alone. Whatever ends the flow run before its time ends the stages.
    """
    if api_url():
        with get_client(sync_client=True) as client:
            client.upsert_global_concurrency_limit_by_name(_gpu_limit_name(), plan_run.slots.devices)
    shorten_task_lines()
    futures: dict[str, PrefectFuture[Any]] = {}
    try:
        plan_run.look()
        for name, stage in plan_run.graph.items():
            above = [allow_failure(futures[other]) for other in plan_run.waits_for[name]]
            of_stage = run_stage.with_options(name=name, task_run_name=name)
            futures[name] = of_stage.submit(plan_run, stage, notes, book, wait_for=above)
            if name == FIRST and not plan_run.unchanged(name):
                futures[name].wait()
                plan_run.look()  # again: the others depend on what it writes
        wait(list(futures.values()))
    except BaseException:  # cancelled, interrupted: the stages are processes of their own, and would go on
        plan_run.stop()
        raise
    _leave("results", f"{book}-results", notes.results, f"Results of {book}: all that is evaluated")


def _worth_another_try(task: object, run: object, state: State) -> bool:
    return bool(state.name == STATES["interrupted"])


@task(
    retries=len(RETRY_AFTER),
    retry_delay_seconds=RETRY_AFTER,
    retry_condition_fn=_worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def run_stage(plan_run: PlanRun, stage: Stage, notes: Notes, book: str) -> State:
    """One stage; the state's name says what DVC did, its message why it failed."""
    outcome = plan_run.blocked(stage.name) or plan_run.unchanged(stage.name) or _run_in_place(plan_run, stage, book)
    if outcome.failed:
        message = outcome.message.partition("\n")[0] if outcome.held_by else outcome.message
        return Failed(name=STATES[outcome.state], message=message)
    title = f"{stage.name}, {MADE[outcome.state]}"
    _leave("note", f"{book}-{stage.name}", lambda: notes.of(stage), title)
    return Completed(name=STATES[outcome.state], message=outcome.message or None)


def _run_in_place(plan_run: PlanRun, stage: Stage, book: str) -> StageOutcome:
    try:
        with plan_run.slots.take(stage.gpu) as device, _gpu_limit(plan_run, stage):
            report = _Report(f"{book}-{stage.name}-progress")
            outcome = plan_run.run(stage, report.hear, device)
            report.end(outcome)
            return outcome
    except TransientError as error:  # the flow run is ending
        return StageOutcome("failed", error.exit_code, str(error))


@contextmanager
def _gpu_limit(plan_run: PlanRun, stage: Stage) -> Iterator[None]:
    """With a server, a slot of its limit ``gpu`` too: other flows on this machine take from it as well."""
    with ExitStack() as stack:
        while stage.gpu and api_url():
            try:
                slot = concurrency(
                    _gpu_limit_name(),
                    timeout_seconds=30,
                    lease_duration=LEASE,
                    strict=True,
                    raise_on_lease_renewal_failure=False,  # a server that is away for a while ends no training
                )
                stack.enter_context(slot)
                break
            except TimeoutError:
                plan_run.slots.check()
        yield


def _gpu_limit_name() -> str:
    """``gpu`` on a server of this machine; one that several machines share has a limit for each."""
    host = urlsplit(api_url() or "").hostname
    return "gpu" if host in ("127.0.0.1", "localhost", "::1") else f"gpu-{os.uname().nodename}"


class _Report:
    """Takes a stage's lines to Prefect: to the log of its task run, and to an artifact for how far it is."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._logger = get_run_logger()
        self._artifact: Any = None
        self._shown, self._logged = monotonic() - ARTIFACT_EVERY, monotonic()

    def hear(self, line: str) -> None:
        """One line of the stage."""
        state = read_progress(line)
        if state is None:
            self._logger.info(line)
            return
        now = monotonic()
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            self._logger.info(str(state))
        if state.percent is not None and now - self._shown >= ARTIFACT_EVERY:
            self._shown = now
            self._show(state.percent, str(state))

    def end(self, outcome: StageOutcome) -> None:
        """The stage has ended."""
        if self._artifact is not None and not outcome.failed:
            self._show(100.0, "done")

    def _show(self, percent: float, text: str) -> None:
        with _tolerant("progress"):
            if self._artifact is None:
                self._artifact = create_progress_artifact(percent, key=_key(self._key), description=text)
            else:
                update_progress_artifact(self._artifact, percent, description=text)


def _leave(what: str, key: str, write: Callable[[], str], description: str) -> None:
    with _tolerant(what):
        if text := write():
            create_markdown_artifact(text, key=_key(key), description=description)


@contextmanager
def _tolerant(what: str) -> Iterator[None]:
    """What is only shown fails no stage."""
    try:
        yield
    except Exception as error:
        get_run_logger().warning("No %s to show: %s", what, " ".join(str(error).split())[:300])


def _key(name: str) -> str:
    """With the characters that Prefect allows."""
    return slug(name).replace("_", "-")
