"""Processes that end with the one that they work for, and no others."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys

import pytest

from pipeline.compute.lifeline import COMMAND, bound_command

PATIENCE = 60
"""Seconds: what is bound ends at once, what is not goes on for longer than this."""
WORDS = bound_command("timeit", "-n", "1", "-r", "1", "import time; print('at work', flush=True); time.sleep(300)")
WAYS = {"directly": WORDS, "through a shell": ["sh", "-c", f"{shlex.join(WORDS)}; true"]}


def free() -> dict[str, str]:
    """The environment of a process that is bound to none."""
    return {name: value for name, value in os.environ.items() if name != COMMAND}


@pytest.mark.parametrize("way", WAYS)
def test_sigkill_of_the_command_ends_what_it_has_started(way: str) -> None:
    code = f"import os, subprocess; subprocess.run({WAYS[way]}, env=os.environ | {{{COMMAND!r}: str(os.getpid())}})"
    process = subprocess.Popen([sys.executable, "-c", code], env=free(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.kill()
    process.communicate(timeout=PATIENCE)  # the end of the pipe: nobody below has it open any more


def test_a_command_that_has_gone_already_ends_it_at_once() -> None:
    before = subprocess.Popen(["true"])
    before.wait()
    done = subprocess.run(WORDS, env=free() | {COMMAND: str(before.pid)}, check=False, timeout=PATIENCE)
    assert done.returncode == -signal.SIGKILL


def test_a_process_that_nobody_asked_to_end_goes_on() -> None:
    """A shell's own command: closing the terminal or ``nohup`` decide about it, not this project."""
    words = bound_command("timeit", "-n", "1", "-r", "1", "import time; time.sleep(1); print('done', flush=True)")
    code = f"import os, subprocess; subprocess.Popen({words}); os._exit(0)"
    process = subprocess.Popen([sys.executable, "-c", code], env=free(), stdout=subprocess.PIPE, text=True)
    assert process.communicate(timeout=PATIENCE)[0].startswith("done\n")
