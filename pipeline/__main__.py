"""The command line: ``python -m pipeline`` and ``weak2mask``."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import warnings
from typing import NoReturn

from pipeline.compute.lifeline import end_with_command
from pipeline.running.handover import SOCKET, end_as, hand_over

if __name__ == "__main__":
    if SOCKET in os.environ and sys.argv[1:2] != ["code"]:  # that one needs no large library
        ended = hand_over()
        if ended is not None:
            end_as(ended)
    end_with_command()

try:
    import pipeline.compute.rare_collections  # noqa: F401 (before the large imports)
    from models.errors import Weak2MaskError
    from pipeline.commands import (  # noqa: F401 (importing adds the commands)
        jobs,
        look,
        results,
        services,
        show,
        stages,
        tools,
        use,
        write_books,
    )
    from pipeline.commands.app import app, app_for, program  # noqa: F401 (app: with its commands, for who imports it)
except KeyboardInterrupt:  # half a second in which typer, which ends the same way, is not there yet
    raise SystemExit(128 + signal.SIGINT) from None

UNUSABLE = {
    errno.EACCES: "Expected a place that may be read and written. Change its permissions, or book.work.",
    errno.EROFS: "Expected a place that may be written. Set book.work to another folder.",
    errno.ENOSPC: "The disk is full. Make room (`dvc gc --workspace` drops what the books no longer need).",
    errno.EFBIG: "The file is larger than the disk or a limit (`ulimit -f`) allows. Set book.work to another folder.",
    errno.EDQUOT: "The disk quota is used up. Make room, or set book.work to a folder elsewhere.",
    errno.ENOTDIR: "Expected a folder, found a file in its place. Move it away.",
    errno.EEXIST: "Expected a folder, found a file in its place. Move it away.",
}
"""What a machine may refuse, and the remedy: no bug of this project."""


LONGEST_MESSAGE, FRAMES = 400, 10
"""Characters of an unexpected error, and its innermost calls, that are shown: one screen."""


def main() -> None:
    """Run the command line; errors become one message and an exit code (2 configuration, 3 data, 1 the rest)."""
    # Threads that spin while they wait take the cores from whoever else computes: beside others a training step
    # took two to four times as long. OpenMP reads this when torch is loaded, which no command has done yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")  # where a project has no prefect.toml, too
    # To look for plugins pydantic opens the metadata of every installed package; no known one concerns a book.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    warnings.formatwarning = _format_warning
    try:
        app_for(sys.argv[1:])(prog_name=program())
    except Weak2MaskError as error:
        _leave(error.exit_code, f"error: {error}")
    except subprocess.CalledProcessError as error:
        _leave(error.returncode, "")
    except OSError as error:
        if error.errno not in UNUSABLE:
            _leave_bug(error)
        _leave(1, f"error: {error}\n{UNUSABLE[error.errno]} Finished stages are kept: run again.")
    except Exception as error:
        _leave_bug(error)


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """What is for the user (``UserWarning``) needs no line of code."""
    return (
        f"warning: {message}\n"
        if category is UserWarning
        else f"{category.__name__}: {message} ({filename}:{lineno})\n"
    )


def _leave_bug(error: Exception) -> NoReturn:
    import traceback

    text = str(error)
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[:LONGEST_MESSAGE]} ... ({len(text)} characters)"
    frames = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-FRAMES, chain=False))
    frames = frames.replace(str(error), text)
    _leave(
        1,
        f"error: unexpected {type(error).__name__}: {text}\nThis is a bug: report it with the lines below.\n{frames}",
    )


def _leave(code: int, message: str) -> NoReturn:
    """Print the message and exit; under ``run`` and ``flow``, tell them, since DVC hides it."""
    from pipeline.running.stage_process import tell_exit

    if message:
        print(message, file=sys.stderr)
    tell_exit(code, message)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
