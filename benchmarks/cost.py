"""What the networks of a book's trainings, exports and predictions cost, counted without weights, images or a GPU.

    python -m benchmarks.cost --book recipes/voc12                # at 40 TFLOP/s sustained
    python -m benchmarks.cost --book recipes/voc12 --tflops 120 --only seam rtc

Counted: convolutions and products of matrices (two operations for a multiplication with its addition) of a forward
pass, and for trainings its backward pass, on torch's meta device; times steps, or images and views. An image has one
class. Not counted: losses taken outside of the forward pass (AFA's CAMs of three scales among them, labels of WeCLIP
and ExCEL, and SPML's products with segments, some tenth of its step), norms and interpolation, loading, CRFs and random
walks with the network's pass of `propagate_cams`. Nothing is measured: ``--tflops`` is what a GPU is taken to sustain,
and the hours follow from it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.ops.tagged_pairs import TaggedPairs
from models.settings import TrainSettings
from models.structures import UNLABELLED, Batch
from pipeline.book.check import check
from pipeline.book.check_roles import trained_page
from pipeline.book.params import Book, load_book
from pipeline.loading.loader_options import LoaderOptions
from pipeline.storage.checkpoints import build_method

IMAGES = {
    "train_aug": 10582,
    "train": 1464,
    "val": 1449,
    "train2014": 82783,
    "val2014": 40504,
}
"""Images of the published lists."""
SIZES = {"voc": (375, 500), "coco": (480, 640)}
"""(H, W) of a typical image of a reader's data set."""
CLASSES = {"voc": 20, "coco": 80}
DEFAULTS = {"voc": {"train": "train", "val": "val"}, "coco": {"train": "train2014", "val": "val2014"}}
SCALES = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Cost:
    """An entry's operations, how often they are done, and of what."""

    entry: str
    each: float
    times: int
    unit: str

    @property
    def total(self) -> float:
        """Operations of the whole entry."""
        return self.each * self.times


class Counter:
    """Counts the entries of a book."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._passes: dict[Any, float] = {}

    def costs(self, only: list[str]) -> Iterator[Cost]:
        """One for each training, CAM export, prediction and classification of proposals, in the order of the book."""
        verbs = {"train": self._train, "export_cams": self._export, "predict_masks": self._predict}
        for verb, count in (verbs | {"classify_proposals": self._classify}).items():
            for name in getattr(self.book, verb):
                if not only or name in only or f"{verb}.{name}" in only:
                    yield count(name)

    def _train(self, name: str) -> Cost:
        entry = self.book.train[name]
        options, settings = LoaderOptions(**entry.loader), TrainSettings(**entry.settings)
        images = IMAGES[self._list(entry.data, self._split("supervision", entry.supervision))]
        method = self._method("train", entry, entry.add_ons).train()
        size = (options.crop, options.crop)
        key = ("train", entry.method, str(entry.model), str(entry.add_ons), size, options.batch_size, entry.data)
        if key not in self._passes:
            self._passes[key] = _counted(lambda: _step(method, self._batch(entry.data, options.batch_size, size)))
        steps = settings.total_steps(images // options.batch_size)
        return Cost(f"train.{name}", self._passes[key], steps, f"steps of {options.batch_size} x {options.crop}^2")

    def _export(self, name: str) -> Cost:
        entry = self.book.export_cams[name]
        scales, flip = entry.options.get("scales", SCALES), entry.options.get("flip", True)
        split, posteriors = self._split("supervision", entry.supervision), entry.options.get("maps") == "posteriors"
        return self._views("export_cams", name, entry, split, scales, flip, posteriors)

    def _predict(self, name: str) -> Cost:
        entry = self.book.predict_masks[name]
        scales, flip = entry.options.get("scales", (1.0,)), entry.options.get("flip", False)
        return self._views("predict_masks", name, entry, entry.split, scales, flip, True)

    def _classify(self, name: str) -> Cost:
        """Each labelled image, and each image of the proposals, is looked at once."""
        entry = self.book.classify_proposals[name]
        method = self._stored(entry.checkpoint)
        image = self._batch(entry.data, 1, SIZES[self.book.prepare[entry.data].reader]).image
        splits = self._split("supervision", entry.supervision), self.book.import_proposals[entry.proposals].split
        with torch.no_grad():
            each = _counted(lambda: method.features(image))
        images = sum(IMAGES[self._list(entry.data, split)] for split in splits)
        return Cost(f"classify_proposals.{name}", each, images, "labelled images, and images of the proposals")

    def _views(self, verb: str, name: str, entry: Any, split: str, scales: Any, flip: bool, segment: bool) -> Cost:
        method = self._stored(entry.checkpoint)
        height, width = SIZES[self.book.prepare[entry.data].reader]

        def see() -> None:
            for scale in scales:
                view = [max(1, round(length * scale)) for length in (height, width)]
                batch = self._batch(entry.data, 2 if flip else 1, (view[0], view[1]))
                with torch.no_grad():
                    if not segment:
                        method.cams(batch.image, batch.tags)
                    elif entry.options.get("gate"):
                        method.gated_scores(batch.image)
                    else:
                        method.scores(batch.image)

        page, options = trained_page(*self._maker(entry.checkpoint))
        key = (page, str(options), str(scales), flip, segment, entry.data)
        if key not in self._passes:
            self._passes[key] = _counted(see)
        views = len(scales) * (1 + flip)
        return Cost(
            f"{verb}.{name}", self._passes[key], IMAGES[self._list(entry.data, split)], f"images, {views} views"
        )

    def _maker(self, checkpoint: str) -> tuple[str, Any]:
        maker = self.book.producer("checkpoints", checkpoint)
        assert maker is not None, "check() resolves every name"
        return maker

    def _stored(self, checkpoint: str) -> Any:
        return self._method(*self._maker(checkpoint)).eval().requires_grad_(False)

    def _method(self, verb: str, entry: Any, add_ons: Any = None) -> Any:
        """The page; neighbours answer by what the network sees, which is what costs."""
        method, given = trained_page(verb, entry)
        options = {**given, **({"inference": "softmax", "bank": 0} if method == "spml" else {})}
        data = next(iter(self.book.prepare.values()))
        with torch.device("meta"):
            return build_method(method, CLASSES[data.reader], options, add_ons=add_ons)

    def _batch(self, data: str, images: int, size: tuple[int, int]) -> Batch:
        classes = CLASSES[self.book.prepare[data].reader]
        image = torch.empty((images, 3, *size), device="meta")
        tags = torch.empty((images, classes), dtype=torch.bool, device="meta")
        return Batch(image, tags, torch.full((images, *size), UNLABELLED, device="meta"))

    def _split(self, kind: str, name: str) -> str:
        """The split that a supervision is of, in the end that of annotations."""
        made = self.book.producer(kind, name)
        assert made is not None, "check() resolves every name"
        if hasattr(made[1], "split"):
            return str(made[1].split)
        below = "cams" if hasattr(made[1], "cams") else "supervision"
        return self._split(below, getattr(made[1], below))

    def _list(self, data: str, split: str) -> str:
        entry = self.book.prepare[data]
        return str(entry.options.get("splits", DEFAULTS[entry.reader])[split])


def _step(method: Any, batch: Batch) -> None:
    """A forward pass, and the backward pass from all that it answers."""
    outputs = method(batch)
    ends = [value.float().sum() for value in outputs.values() if isinstance(value, Tensor) and value.requires_grad]
    torch.stack(ends).sum().backward()


def _counted(run: Callable[[], None]) -> float:
    counter = FlopCounterMode(display=False)
    without_values = (
        patch("torch.autocast", lambda *_, **__: nullcontext()),  # knows no meta device
        patch("models.ema.Follower.start", lambda *_: False),  # asks for a value
        patch("models.ops.tagged_pairs.TaggedPairs.of", _one_class),  # so does this
        patch("torch.autograd.grad", _gradient),  # the counter takes no gradient of a leaf
        patch("models.frozen_clip_method.spread_in_boxes", lambda maps, *_: maps),  # the host's work
    )
    with counter, ExitStack() as patched:
        for one in without_values:
            patched.enter_context(one)
        run()
    return float(counter.get_total_flops())


def _one_class(tags: Tensor) -> TaggedPairs:
    """The first class for each image."""
    images = torch.arange(len(tags), device=tags.device)
    return TaggedPairs(images, torch.zeros_like(images), (1,) * len(tags))


def _gradient(value: Tensor, leaf: Tensor, **_: bool) -> tuple[Tensor]:
    """That of a value by the one leaf that takes gradients."""
    value.backward(retain_graph=True)
    assert leaf.grad is not None
    return (leaf.grad,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", required=True)
    parser.add_argument("--tflops", type=float, default=40.0, help="operations that a GPU sustains, in 1e12 a second")
    parser.add_argument("--only", nargs="*", default=[], help="entries to count")
    given = parser.parse_args()
    book = load_book(given.book)
    check(book)
    costs = []
    print(f"{'entry':44}{'TFLOP each':>12}{'times':>9}{'PFLOP':>10}{'GPU h':>8}  of")
    for cost in Counter(book).costs(given.only):
        costs.append(cost)
        hours = cost.total / given.tflops / 3.6e15
        each, total = cost.each / 1e12, cost.total / 1e15
        print(f"{cost.entry:44}{each:12.2f}{cost.times:9,}{total:10,.0f}{hours:8.1f}  {cost.unit}", flush=True)
    total = sum(cost.total for cost in costs)
    print(
        f"In all {total / 1e15:,.0f} PFLOP: {total / given.tflops / 3.6e15:,.0f} GPU hours at {given.tflops:g} TFLOP/s."
    )
    print("Counted, not measured: no GPU was there, and that rate is an assumption.")


if __name__ == "__main__":
    main()
