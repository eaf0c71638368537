"""train: Supervision x Checkpoint -> Checkpoint, for any method."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from pipeline.binders.common import Log, Workspace
from pipeline.book.params import Book
from pipeline.compute.scratch import SCRATCH
from pipeline.storage.stores import SupervisionStore
from pipeline.storage.whole import whole_file


def run(book: Book, name: str, log: Log) -> None:
    """Write ``checkpoints/NAME`` and ``histories/NAME.csv``; an interrupted training goes on where it was."""
    from models.settings import TrainSettings
    from pipeline.binders.keeping import Keeping
    from pipeline.compute import runtime
    from pipeline.loading.loader_options import LoaderOptions
    from pipeline.loading.loaders import TrainLoader
    from pipeline.storage.checkpoints import build_method, load_init, save_checkpoint
    from pipeline.storage.resume import Resume
    from stages.train import HistoryRow, TrainingState, train

    here = Workspace(book, "train", name)
    entry, catalogue = here.entry, here.catalogue
    sources = here.path("supervision", entry.supervision), here.path("checkpoints", entry.init)
    supervision = SupervisionStore.opened(sources[0])
    supervision.require((), f"train.{name}", catalogue.digest)
    settings = TrainSettings(**entry.settings)
    fabric = runtime.fabric(entry.precision, devices=runtime.devices())
    method = build_method(entry.method, catalogue.num_classes, entry.model, entry.seed, entry.add_ons)
    started = load_init(method, sources[1], catalogue.class_names)
    log.tags({"init": f"{entry.init}: {started}", "precision": fabric.strategy.precision.precision})
    loader = TrainLoader(catalogue, supervision, LoaderOptions(**entry.loader), fabric, settings.accumulate, entry.seed)
    resume = Resume(
        SCRATCH / "checkpoints" / here.fingerprint(*sources), settings.save_every_seconds, fabric.is_global_zero
    )

    def on_row(row: HistoryRow) -> None:
        bar.set_postfix(loss=f"{row['total']:.3f}", refresh=False)
        log.metrics({key: value for key, value in row.items() if key != "step"}, step=int(row["step"]))

    keeping = None
    if settings.keep_features:
        how = {"precision": fabric.strategy.precision.precision, "device": fabric.device.type}
        how["channels_last"] = settings.channels_last
        keeping = Keeping.of(name, method, len(supervision.ids) * loader.options.views, how)
    resume.claim()
    state = resume.load()
    total = settings.total_steps(loader.steps_per_epoch)
    bar = runtime.steps_bar(total, state["done"] if state else 0, f"train {name}", fabric.is_global_zero)

    def on_step(done: int, snapshot: Callable[[], TrainingState]) -> None:
        bar.update()
        if keeping is not None:
            keeping.require_use()
        resume.on_step(done, snapshot)

    with bar, resume.stopping_at_a_step():
        result = train(
            method, loader, fabric, settings, seed=entry.seed, state=state, on_row=on_row, on_step=on_step
        )  # fmt: skip
    if keeping is not None:
        log.tags({"features": ", ".join(f"{count} {what}" for what, count in keeping.close().items())})
    if fabric.is_global_zero:
        recipe = {"method": entry.method, "options": entry.model, "name": name}
        if entry.add_ons:
            recipe["add_ons"] = entry.add_ons
        save_checkpoint(here.path("checkpoints", name), method, recipe=recipe, class_names=catalogue.class_names)
        _write_history(here.path("checkpoints", name).parent.parent / "histories" / f"{name}.csv", result.history)
        resume.finish()


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        columns = dict.fromkeys(key for row in history for key in row)  # a loss part may begin later than others
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
