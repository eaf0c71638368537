"""A process that ends when the one that it works for has ended, however that came about.

A command that gets SIGKILL can end nobody, and what it has started would go on for hours: DVC with stage after stage,
Prefect's server for ever. So each of these processes binds itself to its parent. On Linux the kernel then kills it with
its parent. Where a shell stands between the two, and on other systems, a thread waits for the parent's end.

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
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

PARENT = "WEAK2MASK_PARENT"
"""Environment variable with the id of the process whose end ends this one."""
STAGE = "DVC_STAGE"
"""Set by DVC for the commands of stages: whoever called DVC, it is DVC that such a command works for."""
PR_SET_PDEATHSIG = 1
LOOK = 0.5
"""Seconds between two looks at a process, where the system has no better way."""


def bound_command(module: str, *words: str) -> list[str]:
    """The command line of ``python -m MODULE WORDS`` that ends with the process that starts it."""
    return [sys.executable, "-m", "pipeline.compute.lifeline", module, *words]


def bound_subprocess() -> Any:
    """The module subprocess for a library that starts ``python -m MODULE``: what its Popen starts is bound."""

    def popen(args: Sequence[str], env: Mapping[str, str], **more: Any) -> subprocess.Popen[Any]:
        return subprocess.Popen(bound_command(*args[2:]), env={**env, PARENT: str(os.getpid())}, **more)

    return SimpleNamespace(**vars(subprocess) | {"Popen": popen})


def end_with_parent(variables: MutableMapping[str, str] = os.environ) -> None:
    """Bind this process to the one that ``WEAK2MASK_PARENT`` names, or else to the DVC that runs it; else do nothing.

    What this process starts with its environment is then bound to this process.

    Args:
        variables: the environment.
    """
    named = variables.get(PARENT, "")
    parent = int(named) if named.isdecimal() else os.getppid() if STAGE in variables else 0
    if parent:
        variables[PARENT] = str(os.getpid())
        end_with(parent)


def end_with(parent: int) -> None:
    """From now on this process ends, by SIGKILL, when the process ``parent`` ends; at once where that is gone already.

    On Linux, if ``parent`` has started this process, it is the thread that did so whose end counts: one that stays.
    """
    if sys.platform == "linux" and os.getppid() == parent:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            return
    elif not gone(parent):
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
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
    end_with_parent()
    del sys.argv[0]  # the module that is run puts its file there
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
