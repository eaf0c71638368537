"""What a stage tells MLflow: parameters, losses, metrics, pictures, and which output it made.

The telling goes to another process (``pipeline.tracking.recorder``), so that a stage does not wait for MLflow's import,
and nothing that MLflow does can lose a stage's finished work.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from models.errors import ConfigurationError, DataError, closest
from pipeline.compute.alone import first_of_group
from pipeline.compute.machine import machine_kind
from pipeline.compute.project import lost_project, project_root
from pipeline.tracking.recording import PATIENCE, Channel, open_channel

SQLITE = "sqlite:///"
LOCAL_STORE = "mlflow.db"
"""In the project's root."""
MACHINE_TAG = "machine"
"""Of a run: the kind of machine that it ran on."""


class Log:
    """Tells nothing to nobody: tracking is off, or another process of the same stage does it."""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Numbers at a step."""

    def picture(self, name: str, picture: npt.NDArray[np.uint8]) -> None:
        """RGB uint8 [H,W,3], under a name such as ``overlays/2007_000032.png``."""

    def tags(self, values: Mapping[str, object]) -> None:
        """Facts about the run that are no parameters."""


class RecordedLog(Log):
    """Tells a recorder, which is another process. When that has gone, warns once and goes on."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._broken = False

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        self.send("metrics", values={name: float(value) for name, value in values.items()}, step=step, time=_now())

    def picture(self, name: str, picture: npt.NDArray[np.uint8]) -> None:
        from PIL import Image

        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"expected a picture uint8 [H,W,3], found {picture.dtype} {list(picture.shape)}")
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, "PNG")
        self.send("picture", name=name, png=base64.b64encode(encoded.getvalue()).decode())

    def tags(self, values: Mapping[str, object]) -> None:
        self.send("tags", tags={name: str(value) for name, value in values.items()})

    def send(self, event: str, **content: Any) -> None:
        """One line of JSON to the recorder."""
        if self._broken:
            return
        try:
            self._channel.send(json.dumps({"event": event} | content))
        except (OSError, ValueError) as error:
            self._broken = True
            warnings.warn(f"This run is not recorded: the MLflow recorder has ended ({error}).", stacklevel=2)

    def close(self, status: str, outputs: Sequence[str]) -> None:
        """Say how the stage ended and wait until that is recorded."""
        self.send("end", status=status, outputs=list(outputs))
        try:
            self._channel.close()
        except TimeoutError:
            warnings.warn(f"MLflow has not recorded this run in {PATIENCE:.0f} s; the stage goes on.", stacklevel=2)


@contextmanager
def run(stage: str, book: str, parameters: Mapping[str, Any], outputs: Sequence[Path] = ()) -> Iterator[Log]:
    """Record what happens inside as one MLflow run, FAILED when it raises, KILLED when the process is.

    Args:
        stage: name of the run ("train@cam").
        book: name of the experiment.
        parameters: nested settings; keys are joined by dots.
        outputs: project-relative paths that the stage writes; their DVC hashes become tags ``dvc.out.PATH``.
    """
    if not enabled():
        yield Log()
        return
    if gone := lost_project():
        warnings.warn(
            f"The project of this experiment, {gone}, is not there: its run is recorded in {store_uri()}. "
            "Set MLFLOW_TRACKING_URI to have it elsewhere.",
            stacklevel=3,
        )
    log = RecordedLog(open_channel())
    tags = {"dvc.stage": os.environ.get("DVC_STAGE", stage), "mlflow.source.name": stage, MACHINE_TAG: machine_kind()}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.exp"] = experiment
    log.send("start", name=stage, book=book, parameters=flatten(parameters), tags=tags, time=_now())
    try:
        yield log
    except BaseException:
        log.close("FAILED", [])
        raise
    log.close("FINISHED", [path.as_posix() for path in outputs])


def enabled() -> bool:
    """Whether this process records: ``WEAK2MASK_TRACKING`` is not off, and it is the first of its group.

    Raises:
        ConfigurationError: the variable is neither "on" nor "off".
    """
    wanted = os.environ.get("WEAK2MASK_TRACKING", "on").strip().lower() or "on"
    if wanted not in ("on", "off"):
        raise ConfigurationError(f"WEAK2MASK_TRACKING: unknown value '{wanted}'.{closest(wanted, ('on', 'off'))}")
    return wanted == "on" and first_of_group()


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level: ``{"loader": {"crop": 128}}`` becomes ``{"loader.crop": "128"}``."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat


def dvc_md5(path: Path) -> str:
    """The hash that DVC 3 gives a file or a folder.

    A file's is the md5 of its bytes. A folder's is the md5 of the JSON list of its files, by relative path, and
    ".dir" (source: iterative/dvc-data, src/dvc_data/hashfile/tree.py, ``Tree.as_bytes`` and ``digest``).
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listing = [{"md5": dvc_md5(files[name]), "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"


def store_uri() -> str:
    """Where the runs are recorded: ``MLFLOW_TRACKING_URI``, or ``mlflow.db``.

    A path that is not absolute counts from the project's root, also in DVC's copy of it
    (:mod:`pipeline.compute.project`).
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or SQLITE + LOCAL_STORE
    root = project_root()
    return SQLITE + str(root / uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) and root != Path.cwd() else uri


def store_path() -> Path | None:
    """The file of a store on this machine; None for one that a server keeps."""
    uri = store_uri()
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def become_mlflow_ui(port: int) -> NoReturn:
    """Turn this process into MLflow's user interface, on 127.0.0.1.

    Raises:
        ConfigurationError: the port is taken.
        DataError: nothing has been recorded yet.
    """
    from pipeline.compute.servers import check_address

    check_address("127.0.0.1", port)
    path = store_path()
    if path is not None and not path.is_file():
        raise DataError(f"{path}: expected recorded runs, found nothing. Remedy: `make run`, or `dvc repro`, first.")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store_uri()]
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true"} | os.environ
    command += ["--host", "127.0.0.1", "--port", str(port)]
    os.execve(sys.executable, command, environment)  # no child, so that whoever ends this process ends the server


def _now() -> int:
    return int(time.time() * 1000)
