"""Processes that end with the one that they work for, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pipeline.compute.lifeline import PARENT, STAGE, bound_command

PATIENCE = 60
"""Seconds: what is bound ends at once, what is not goes on for longer than this."""
WORK = "import os, time; print(os.environ['WEAK2MASK_PARENT'] == str(os.getpid()), flush=True); time.sleep(300)"
COMMAND = bound_command("timeit", "-n", "1", "-r", "1", WORK)
PARENTS = {
    "a process": ("{command}", "PARENT: str(os.getpid())"),
    "a process and a shell": ("['sh', '-c', shlex.join({command}) + '; true']", "PARENT: str(os.getpid())"),
    "DVC": ("{command}", "STAGE: 'train@classifier'"),
}


def free() -> dict[str, str]:
    """The environment of a process that is bound to none."""
    return {name: value for name, value in os.environ.items() if name not in (PARENT, STAGE)}


@pytest.mark.parametrize("parent", PARENTS)
def test_sigkill_of_the_parent_ends_a_process(parent: str) -> None:
    command, variables = PARENTS[parent]
    code = (
        "import os, shlex, subprocess; from pipeline.compute.lifeline import PARENT, STAGE; "
        f"subprocess.run({command.format(command=COMMAND)}, env=os.environ | {{{variables}}})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=free(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n", "what it starts is to be bound to it in turn"
    process.kill()
    process.communicate(timeout=PATIENCE)  # the end of the pipe: nobody below has it open any more


def test_a_parent_that_has_gone_already_ends_it_at_once() -> None:
    before = subprocess.Popen(["true"])
    before.wait()
    done = subprocess.run(COMMAND, env=free() | {PARENT: str(before.pid)}, check=False, timeout=PATIENCE)
    assert done.returncode == -signal.SIGKILL


def test_a_process_that_nobody_asked_to_end_goes_on() -> None:
    """A shell's own command: closing the terminal or ``nohup`` decide about it, not this project."""
    words = bound_command("timeit", "-n", "1", "-r", "1", "import time; time.sleep(1); print('done', flush=True)")
    code = f"import os, subprocess; subprocess.Popen({words}); os._exit(0)"
    process = subprocess.Popen([sys.executable, "-c", code], env=free(), stdout=subprocess.PIPE, text=True)
    assert process.communicate(timeout=PATIENCE)[0].startswith("done\n")
