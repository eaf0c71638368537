"""Disks that are full, folders that may not be written, inputs that vanish, a clock that was set back."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from models.errors import Weak2MaskError
from pipeline.__main__ import UNUSABLE
from pipeline.book.lineage import Node
from tests.reliability.book import FAILED, WORK, finished, forked, outputs, run, tree
from tests.reliability.frame import Case, Counts

CLONE_NEWNS = 0x20000
CLEAR = "a clear error:"
IMAGES = WORK / "catalogues" / "toy" / "images"
FILLER = Path("filler")
DAYS = 10 * 24 * 3600.0


@dataclass(frozen=True)
class Fault:
    """What happens to a stage.

    Attributes:
        prepare: before it, to the book in the working folder.
        strike: in its process, before it begins.
        mend: after it.
        may_end: ways in which the stage may end: "refused", "completed".
    """

    prepare: Callable[[Random], None] = lambda random: None
    strike: Callable[[Random], None] = lambda random: None
    mend: Callable[[], None] = lambda: None
    may_end: tuple[str, ...] = ("refused", "completed")


def trial(choose: Callable[[int], Fault], number: int) -> Counts:
    """Let a stage run into a fault: it says so, the rest stays as it is, and it completes when the fault is mended."""
    random, master, fault = Random(number), finished(), choose(number)
    stage = master.stages[number % len(master.stages)]
    shutil.copytree(master.folder, ".", dirs_exist_ok=True, symlinks=True)
    places, before = outputs(stage), tree(WORK)
    fault.prepare(random)
    code, said = forked(partial(_struck, fault, random, stage))
    outcome = "completed" if code == 0 else "refused"
    where = f"{'@'.join(stage)} {outcome}"
    assert outcome in fault.may_end, f"{where}: {said}"
    assert code == 0 or (code == FAILED and CLEAR in said), f"{where}: no clear error, code {code}: {said}"
    fault.mend()
    for place in places:
        assert tree(place) == tree(master.folder / place), f"{where}: {place} has changed"
    again, said = forked(partial(run, stage))
    assert again == 0, f"{where}: does not run when the fault is mended: {said}"
    assert tree(WORK) == before, f"{where}: other bytes, or something left over"
    return {outcome: 1}


def _struck(fault: Fault, random: Random, stage: Node) -> None:
    fault.strike(random)
    try:
        run(stage)
    except Weak2MaskError as error:
        raise RuntimeError(f"{CLEAR} {error}") from None
    except OSError as error:
        if error.errno in UNUSABLE:  # the command line adds the remedy
            raise RuntimeError(f"{CLEAR} {error}") from None
        raise


def _full(number: int) -> Fault:
    """A small disk of its own where that is permitted, else, and every other time, operations that fail."""
    if number % 2 and _may_mount():
        return Fault(_small_disk, mend=FILLER.unlink)
    return Fault(strike=_no_space_after)


def _read_only(number: int) -> Fault:
    if _may_mount():
        return Fault(
            lambda random: _own_disk("4g"), lambda random: _remount("ro"), lambda: _remount("rw"), ("refused",)
        )
    return Fault(strike=lambda random: _chmod(0o555), mend=lambda: _chmod(0o755), may_end=("refused",))


def _vanished(number: int) -> Fault:
    return Fault(strike=_remove_images_meanwhile, mend=_restore_images)


def _set_back(number: int) -> Fault:
    return Fault(_into_the_future, may_end=("completed",))


def _may_mount() -> bool:
    return os.geteuid() == 0 and shutil.which("mount") is not None


def _own_disk(size: str) -> None:
    """The working folder becomes a disk in memory that this process and its children alone see, with the book on it."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    place = Path("disk")
    place.mkdir()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    for name in (WORK.parts[0], "params.yaml", "points.csv"):
        source = Path(name)
        shutil.copytree(source, place / name) if source.is_dir() else shutil.copy(source, place)
    os.chdir(place)


def _small_disk(random: Random) -> None:
    """A disk with room for a part of what a stage writes, and for all of it when the filler is gone."""
    _own_disk("128m")
    free = shutil.disk_usage(".").free
    with FILLER.open("wb") as file:
        file.write(bytes(free - random.choice((0, 4096, 16384, 65536, 262144))))


def _remount(mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", Path.cwd()], check=True, cwd="/")


def _chmod(mode: int) -> None:
    for path in (Path.cwd(), *Path.cwd().rglob("*")):
        if path.is_dir():
            path.chmod(mode)


def _no_space_after(random: Random) -> None:
    """From the Nth file or folder that is made, there is no space for another."""
    left = [random.randrange(random.choice((3, 30)))]

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        makes = name == "os.mkdir" or (name == "open" and _writes(arguments))
        if makes and not str(arguments[0]).startswith(("/proc", "/dev", str(sys.prefix))):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    sys.addaudithook(hook)


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(arguments[0], str | Path) and isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _remove_images_meanwhile(random: Random) -> None:
    """When the Nth image of the data set is opened, all are gone."""
    left = [random.randrange(4)]

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        if name == "open" and str(IMAGES) in str(arguments[0]) and ".partial" not in str(arguments[0]):
            left[0] -= 1
            if left[0] == -1:
                shutil.rmtree(IMAGES)

    sys.addaudithook(hook)


def _restore_images() -> None:
    shutil.copytree(finished().folder / IMAGES, IMAGES, dirs_exist_ok=True)


def _into_the_future(random: Random) -> None:
    """The clock was set back: some of the files are from days to come, in no order."""
    for path in sorted(Path(".").rglob("*")):
        if random.random() < 0.7:
            then = time.time() + random.random() * DAYS
            os.utime(path, (then, then))


HOLDS = "the earlier artefact is as it was, and the stage completes with the same bytes when the fault is mended"
CASES = {
    "full": Case(
        f"The disk is full from a random moment of a stage on: a clear error, {HOLDS}",
        partial(trial, _full), quick=4, long=200, before=finished,
    ),
    "read_only": Case(
        f"A stage may not write: a clear error, {HOLDS}", partial(trial, _read_only), quick=1, long=40, before=finished
    ),
    "vanished": Case(
        f"The images of the data set are deleted while a stage reads them: a clear error, {HOLDS}",
        partial(trial, _vanished), quick=1, long=40, before=finished,
    ),
    "clock": Case(
        "The clock was set back, files are from days to come: every stage completes with the same bytes",
        partial(trial, _set_back), quick=1, long=40, before=finished,
    ),
}  # fmt: skip
