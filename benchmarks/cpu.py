"""What trainings on a CPU gain from float32 where bfloat16 has no instructions, and from keeping freed memory.

    python -m benchmarks.cpu        # a 3x3 convolution, and steps of the plain classifier: 16 images of 256 pixels

Times are CPU seconds (user and system) of the process, the smallest of the repetitions, in one run.
"""

from __future__ import annotations

import resource

import torch
from torch import nn

from benchmarks.training import fastest
from models.methods.classifier import Classifier
from models.ops.half_precision import is_fast_in
from models.structures import Batch, StepContext
from pipeline.compute.runtime import keep_memory

CONTEXT = StepContext(0, 10, 5)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, layer = torch.randn(4, 64, 64, 64), nn.Conv2d(64, 64, 3, padding=1)
    half = nn.Conv2d(64, 64, 3, padding=1).bfloat16()
    with torch.no_grad():
        slow, quick = fastest(lambda: half(x.bfloat16()), lambda: layer(x), repetitions=3)
    has = "has" if is_fast_in(torch.bfloat16, "cpu") else "lacks"
    print(
        f"This CPU {has} bfloat16. One convolution: bfloat16 {slow:.3f} s, float32 {quick:.3f} s: {slow / quick:.1f}x"
    )

    image = torch.rand(16, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    batch = Batch(image, torch.eye(16, 6).bool(), torch.full((16, 256, 256), 254))
    method = Classifier(6).train().to(memory_format=torch.channels_last)

    def step() -> None:
        method.zero_grad()
        torch.stack(list(method.losses(method(batch), batch, CONTEXT).values())).sum().backward()

    found = []
    for _ in range(2):
        (seconds,) = fastest(step)
        found.append((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))
        keep_memory()
    (before, held), (after, kept) = found
    print(
        f"classifier, one step in float32: {before:.2f} s, with freed memory kept {after:.2f} s: "
        f"{before / after:.2f}x; largest memory {held:.2f} and {kept:.2f} GB"
    )


if __name__ == "__main__":
    main()
