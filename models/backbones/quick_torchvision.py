"""torchvision without torch's compiler: imported before anything of torchvision, for what it does.

``torchvision.ops.roi_align`` imports ``torch._dynamo``, and with it the whole compiler, for one function that only
RoIAlign calls: more CPU time than torch itself and torchvision together, in every process with a backbone. Until
torchvision is imported, a module with that one function stands in; it asks the compiler when it is called.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch  # noqa: F401 (whole before anything stands in for a part of it)

COMPILER = "torch._dynamo.utils"


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device_type))


def _import_torchvision() -> None:
    """Raises no ImportError: who imports torchvision next gets it."""
    stand_in = ModuleType(COMPILER)
    stand_in.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules[COMPILER] = stand_in
    try:
        import torchvision  # noqa: F401
    except ImportError:  # a version that wants more of the compiler: it then imports it
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    finally:
        del sys.modules[COMPILER]


if "torchvision" not in sys.modules and COMPILER not in sys.modules:
    _import_torchvision()
