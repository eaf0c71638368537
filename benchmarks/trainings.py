"""CPU seconds of whole trainings of several books under one precision, from measured steps, in one run.

    python -m benchmarks.trainings recipes/voc_mini_rtc:rtc_0 recipes/voc_mini:{classifier,boundary,segmenter}

A step is measured at the start of each epoch, since some losses begin late: the smaller CPU time of two, on made images
and labels, without loading and the optimiser. Times are those of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from benchmarks.made import made_batch
from models.errors import closest
from models.method import Method
from models.settings import TrainSettings
from models.structures import Batch, StepContext
from pipeline.book.params import load_book
from pipeline.loading.loader_options import LoaderOptions
from pipeline.storage.checkpoints import build_method

PRECISIONS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "32-true": nullcontext,
    "bf16-mixed": lambda: torch.autocast("cpu", torch.bfloat16),
}


def measured_step(method: Method, batch: Batch, context: StepContext, precision: str) -> float:
    """CPU seconds of a forward pass, the losses and the backward pass: the smaller of two."""
    times = []
    for _ in range(2):
        start = time.process_time()
        with PRECISIONS[precision]():
            outputs = method(batch)
        torch.stack(list(method.losses(outputs, batch, context).values())).sum().backward()
        times.append(time.process_time() - start)
        method.zero_grad()
    return min(times)


def training_seconds(path: str, name: str, images: int, classes: int, precision: str) -> tuple[float, int]:
    """CPU seconds of the training ``name`` of the book, and its steps."""
    known = load_book(path).train
    if name not in known:
        raise SystemExit(f"{path} trains no '{name}'.{closest(name, known)}")
    entry = known[name]
    options, settings = LoaderOptions(**entry.loader), TrainSettings(**entry.settings)
    per_epoch = images // options.batch_size
    total = settings.total_steps(per_epoch)
    torch.manual_seed(0)
    method = build_method(entry.method, classes, entry.model, add_ons=entry.add_ons).train()
    method.to(memory_format=torch.channels_last)
    batch = made_batch(options.batch_size, options.crop, classes)
    seconds = 0.0
    for first in range(0, total, per_epoch):
        context = StepContext(first, total, per_epoch)
        seconds += measured_step(method, batch, context, precision) * min(per_epoch, total - first)
    return seconds, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainings", nargs="+", metavar="BOOK:TRAINING")
    parser.add_argument("--images", type=int, default=474)
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16-mixed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for training in given.trainings:
        book, _, name = training.partition(":")
        seconds, steps = training_seconds(book, name, given.images, given.classes, given.precision)
        print(f"{training:44}{steps:6} steps{seconds:8.0f} s{seconds / steps:8.2f} s a step", flush=True)


if __name__ == "__main__":
    main()
