"""A process that ends when the command that it works for has ended, however that came about.

A command that gets SIGKILL can end nobody, and what it has started would go on for hours: DVC with stage after stage,
Prefect's server for ever. So each of these processes binds itself to the command. On Linux the kernel kills those that
the command has started itself. In those further down, such as a stage below DVC, and on other systems, a thread waits
for the command's end. Nobody is bound to what stands between: DVC ends before its stage where a run is interrupted, and
a training then still saves its state.

``python -m pipeline.compute.lifeline MODULE WORDS`` is ``python -m MODULE WORDS`` that way. The recorder of runs is not
bound: it writes down how the stages ended, and ends when it has.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

COMMAND = "WEAK2MASK_COMMAND"
"""Environment variable with the id of the process whose end ends this one."""
PR_SET_PDEATHSIG = 1
LOOK = 0.5
"""Seconds between two looks at a process, where the system has no better way."""


def bound_command(module: str, *words: str) -> list[str]:
    """The command line of ``python -m MODULE WORDS`` that ends with the process that starts it."""
    return [sys.executable, "-m", "pipeline.compute.lifeline", module, *words]


def bound_subprocess() -> Any:
    """The module subprocess for a library that starts ``python -m MODULE``: what its Popen starts is bound."""

    def popen(args: Sequence[str], env: Mapping[str, str], **more: Any) -> subprocess.Popen[Any]:
        return subprocess.Popen(bound_command(*args[2:]), env={**env, COMMAND: str(os.getpid())}, **more)

    return SimpleNamespace(**vars(subprocess) | {"Popen": popen})


def end_with_command() -> None:
    """Bind this process to the command that ``WEAK2MASK_COMMAND`` names; without one, do nothing."""
    command = os.environ.get(COMMAND, "")
    if command.isdecimal():
        end_with(int(command))


def end_with(process: int) -> None:
    """From now on this process ends, by SIGKILL, when the other one ends; at once where that is gone already.

    On Linux, where the other one has started this one, the end of the thread that did so counts: one that stays.
    """
    if sys.platform == "linux" and os.getppid() == process:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == process:
            return
    elif not gone(process):
        threading.Thread(target=_end_after, args=(process,), daemon=True).start()
        return
    os.kill(os.getpid(), signal.SIGKILL)


def gone(process: int) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        return False
    return False


def _end_after(process: int) -> None:
    if sys.platform == "linux":
        with suppress(ProcessLookupError):
            select.select([os.pidfd_open(process)], [], [])
    else:
        while not gone(process):
            time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    end_with_command()
    del sys.argv[0]  # the module that is run puts its file there
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
