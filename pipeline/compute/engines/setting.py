"""Which engine runs the chunks, as the environment says: it is about the machine and not about the result.

``WEAK2MASK_ENGINE`` (here, processes, dask), ``WEAK2MASK_DASK`` (the scheduler's address).
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec

from models.errors import ConfigurationError, closest
from pipeline.compute.engines import ENGINES

ADDRESS = re.compile(r"(tcp|tls)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
START = (
    "Start a scheduler and workers, for instance `python -m pipeline cluster --workers 2` on this machine, "
    "or `dask scheduler` on one machine and `dask worker tcp://HOST:8786 --nthreads 1 --nworkers N` on each."
)


def engine() -> str:
    """Name of the engine: ``WEAK2MASK_ENGINE``, or "processes".

    Raises:
        ConfigurationError: there is no such engine.
    """
    name = os.environ.get("WEAK2MASK_ENGINE", "").strip() or "processes"
    if name not in ENGINES:
        raise ConfigurationError(f"WEAK2MASK_ENGINE: unknown engine '{name}'.{closest(name, ENGINES)}")
    return name


def scheduler() -> str:
    """Address of the Dask scheduler: ``WEAK2MASK_DASK``.

    Raises:
        ConfigurationError: it is not set, or no address with a port; or Dask is not installed.
    """
    address = os.environ.get("WEAK2MASK_DASK", "").strip()
    if not address:
        raise ConfigurationError(
            f"WEAK2MASK_ENGINE=dask needs the scheduler's address in WEAK2MASK_DASK (tcp://HOST:8786). {START}"
        )
    match = ADDRESS.fullmatch(address)
    if not match or not 0 < int(match[3]) < 65536:
        raise ConfigurationError(
            f"WEAK2MASK_DASK: expected tcp://HOST:PORT, with a port of 1 to 65535 (Dask's own is 8786), "
            f"found '{address}'."
        )
    require_dask()
    return address


def require_dask() -> None:
    """Raises ConfigurationError when ``dask.distributed`` is not installed."""
    if find_spec("distributed") is None:
        raise ConfigurationError("Dask is not installed. Remedy: pip install 'weak2mask[cluster]'.")


def check() -> None:
    """Raise ConfigurationError now rather than when a stage comes to its chunks."""
    if engine() == "dask":
        scheduler()
