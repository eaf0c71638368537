"""torchvision comes without torch's compiler, and with it where something asks for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

LIGHT = """
import sys
import models.backbones.{module}
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
from torchvision.ops.roi_align import is_compile_supported
assert is_compile_supported("cpu") == __import__("torch._dynamo.utils", fromlist=["x"]).is_compile_supported("cpu")
assert sys.modules["torch._dynamo.utils"].__spec__ is not None
"""
WANTS_MORE = """
import sys, types
from importlib.machinery import PathFinder
import torch
class Later:  # a torchvision that wants another name of the compiler
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision.ops" and "torch._dynamo" not in sys.modules:
            from torch._dynamo.utils import counters
sys.meta_path.insert(0, Later())
from models.backbones.resnet import ResNet18
from torch._dynamo.utils import counters
from torchvision.ops import roi_align
"""


@pytest.mark.parametrize("module", ["resnet", "resnet_variants", "mobilenet_v2"])
def test_a_backbone_needs_no_compiler(module: str) -> None:
    subprocess.run([sys.executable, "-c", LIGHT.format(module=module)], check=True)


def test_a_torchvision_that_wants_more_of_the_compiler_gets_it() -> None:
    done = subprocess.run([sys.executable, "-c", WANTS_MORE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
