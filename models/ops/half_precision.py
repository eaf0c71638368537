"""Which devices compute in half precision, and do not merely accept it."""

from __future__ import annotations

import torch


def is_fast_in(dtype: torch.dtype, kind: str) -> bool:
    """Whether a device of this kind ("cpu", "cuda") has kernels for ``dtype``; always for float32.

    A CPU without the instructions accepts half precision, but its convolutions are loops: more than 100 times
    slower than in float32 on one with AVX2 alone (``benchmarks/cpu.py``).
    """
    if kind != "cpu" or dtype == torch.float32:
        return True
    if not torch.backends.mkldnn.is_available():
        return False
    half = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}[dtype]
    return bool(getattr(torch.ops.mkldnn, half)())
