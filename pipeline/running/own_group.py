"""A process with all that it starts as one group, which is interrupted with this process, and stopped with it.

Ctrl-C in a terminal is sent to every process of the command, the stop of an editor or ``kill -INT`` to the command
alone. In a group of its own DVC gets the first no more, so that both are the same: the command passes it on, once (the
second does not wait for a training's step to end).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from time import sleep
from types import FrameType

import psutil

LOOK = 0.1
"""Seconds between two looks at who is left of a group."""


@contextmanager
def own_group(command: Sequence[str], variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command, and wait for its end.

    What is raised inside interrupts the group: the command itself ends at once and starts nothing more, the others may
    save what they have. A second interruption ends them too.
    """
    with _in_the_background() as stopped_with, subprocess.Popen(command, env=variables, process_group=0) as process:
        try:
            stopped_with.append(process.pid)
            yield process
        except BaseException:  # Ctrl-C
            _interrupt(process)
            raise


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    _signal(process.pid, signal.SIGINT)
    process.kill()  # DVC ignores the interruption while a stage runs, and would go on with the next one
    try:
        while _is_at_work(process.pid):
            process.poll()
            sleep(LOOK)
    finally:
        _signal(process.pid, signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses where only the dead are left
        os.killpg(group, number)


def _is_at_work(group: int) -> bool:
    """Whether one of the group lives; the first process of a container often never asks how others have ended."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended meanwhile
            if os.getpgid(process.pid) == group and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
    return False


@contextmanager
def _in_the_background() -> Iterator[list[int]]:
    """Inside, groups that are added to the list are stopped (Ctrl-Z) and go on (``fg``) with this process.

    To the terminal they stand in the background: they may write there, whatever ``stty tostop`` says.
    """
    groups: list[int] = []
    if current_thread() is not main_thread():  # it has no signals
        yield groups
        return

    def stop(number: int, frame: FrameType | None) -> None:
        for group in groups:
            _signal(group, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        for group in groups:
            _signal(group, signal.SIGCONT)

    before = {signal.SIGTTOU: signal.signal(signal.SIGTTOU, signal.SIG_IGN)}
    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:  # no terminal that stops anybody
        before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, stop)
    try:
        yield groups
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
