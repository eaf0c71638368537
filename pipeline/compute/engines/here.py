"""Chunks one after the other in this process: to debug, or where one device does all the work."""

from __future__ import annotations

from typing import Any

from pipeline.compute.engines.job import Job, Result, is_out_of_memory


def run(job: Job[Result]) -> list[Result]:
    """Run the job here."""
    return [_one(job, chunk) for chunk in job.bar(job.chunks, lambda chunk: chunk)]


def _one(job: Job[Result], chunk: Any) -> Result:
    try:
        return job.task(chunk)
    except Exception as error:
        if is_out_of_memory(error):
            raise job.too_large("there was not enough memory", chunk) from error
        job.blame(error, chunk)
        raise
