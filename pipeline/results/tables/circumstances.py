"""Under which circumstances numbers were made: commit, machine, precision, seeds, days and seconds, for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.tracking.runs import RecordedStage

LISTS = ("commits", "machines", "precisions", "seeds", "dates")


def of_stages(stages: Iterable[str], runs: Mapping[str, RecordedStage], seeds: Iterable[int]) -> dict[str, Any]:
    """What the MLflow runs of some stages say, each value once.

    Args:
        stages: names such as ``train@cam``; those without a run (or restored without one) add nothing.
        runs: stage name -> its run, where MLflow knows one.
        seeds: of the trainings among the stages.

    Returns:
        JSON can hold it: ``commits`` (of the project), ``machines``, ``precisions`` (of trainings, as they ran) and
        ``dates`` (UTC, YYYY-MM-DD), each sorted; ``seeds``; ``uncommitted``: whether some stage ran on files that
        differ from its commit, None where no run is known.
    """
    made = [run.circumstances for stage in stages if (run := runs.get(stage)) and run.circumstances]
    return {
        "commits": sorted({each.commit for each in made if each.commit}),
        "uncommitted": any(each.uncommitted for each in made) if made else None,
        "machines": sorted({each.machine for each in made if each.machine}),
        "precisions": sorted({each.precision for each in made if each.precision}),
        "seeds": sorted(set(seeds)),
        "dates": sorted({each.date for each in made}),
    }


def seconds_of(stage: str, runs: Mapping[str, RecordedStage]) -> float | None:
    """Wall-clock seconds of the run that made a stage's output; None where no run is known."""
    run = runs.get(stage)
    return run.circumstances.seconds if run and run.circumstances else None


def together(several: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The union of what :func:`of_stages` gave for several numbers."""
    made = list(several)
    known = [each["uncommitted"] for each in made if each["uncommitted"] is not None]
    union = {key: sorted({value for each in made for value in each[key]}) for key in LISTS}
    return {**union, "uncommitted": any(known) if known else None}
