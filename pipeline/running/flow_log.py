"""What Prefect's loggers say to people on the command line: news of stages, each once."""

from __future__ import annotations

import logging


def quieten() -> None:
    """Leave out news of servers that come and go, and the cause of a failed flow run, which the command says last."""
    logging.getLogger("prefect").setLevel(logging.WARNING)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("prefect.flow_runs").addFilter(_without_cause)


def shorten_task_lines() -> None:
    """Leave out of the lines of tasks what the state of a stage says anyway."""
    logging.getLogger("prefect.task_runs").addFilter(_in_short)


def _without_cause(record: logging.LogRecord) -> bool:
    """Leaves what a failed flow run says of itself at the name of its state."""
    if isinstance(record.msg, str) and record.msg.startswith("Finished in state Failed("):
        record.msg = "Finished in state Failed"
    return True


def _in_short(record: logging.LogRecord) -> bool:
    """Leaves out the traceback of no exception, and what the state of a task says right after it."""
    if record.exc_info is not None and record.exc_info[0] is None:
        record.exc_info = None
        return "Retries are exhausted" not in record.getMessage()
    return True
