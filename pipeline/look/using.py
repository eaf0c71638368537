"""What a person can do with drawn labels now, however few images have any: the lines of the book, and the commands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from shlex import quote
from typing import Any

import yaml

from models.errors import ConfigurationError
from pipeline.book.agreement import SOURCE
from pipeline.book.params import Book
from pipeline.datasets.file_names import numbered
from pipeline.inference.rounds import Trained, over_labels, segmenter_of, taught_by
from pipeline.loading.loader_options import LoaderOptions, fitting
from pipeline.look.drawings import Drawings
from pipeline.look.images import ImageSet
from pipeline.look.targets import Targets, file_to_edit, new_entry

Plain = dict[str, Any]
NAME = "drawn"
LEFT_OUT, UNLABELLED, BACKGROUND = (
    {"unannotated": answer} for answer in ("left_out", "unlabelled", "background")
)  # what the images without labels are


def use(book: Book | None, images: ImageSet, drawings: Drawings, split: str, program: str) -> Plain:
    """How many images have labels, and the ways to learn from them.

    Args:
        book: None for a folder.
        images: of the data set.
        drawings: on them.
        split: of the data set; the labels of its images are counted.
        program: what the user called.

    Returns:
        ``drawn`` of ``total`` images; ``counts`` of each kind with its ``file`` and the ``entry`` that reads it;
        ``ways``, each with a ``title``, a ``note``, the ``lines`` that the ``file`` of the book needs and the
        ``commands`` that follow; ``refusing``, entries that read the labels and refuse images without any.
    """
    targets, ids = drawings.targets, set(images.ids(split))
    there = {kind: having & ids for kind, having in drawings.ids().items()}
    drawn, partial = len(set().union(*there.values())), set().union(*there.values()) != ids
    counts = [
        {"kind": one.kind, "file": one.path.as_posix(), "entry": one.entry, "images": len(there[one.kind])}
        for one in targets.all
    ]
    answer = {"counts": counts, "drawn": drawn, "total": len(ids), "ways": [], "file": "", "refusing": []}
    if not drawn:
        return answer
    tagged = any(images.catalogue.entry(id).tags is not None for id in ids)
    if book is None:
        return answer | {"ways": list(_of_folder(images, targets, partial, tagged, program))}
    entries = list(dict.fromkeys(one.entry for one in targets.all if one.entry and there[one.kind]))
    return answer | {
        "file": file_to_edit(book),
        "refusing": [
            name for name in entries if partial and not book.import_annotations[name].options.get("unannotated")
        ],
        "ways": list(_Ways(book, images, targets, split, there, program).ways(entries, partial, tagged)),
    }


def _of_folder(images: ImageSet, targets: Targets, partial: bool, tagged: bool, program: str) -> Iterator[Plain]:
    """The ways of ``init``."""
    classes = f"classes: {_yaml(list(images.catalogue.class_names))}"
    command = f"{program} init {quote(str(targets.folder))} --option {quote(classes)}"
    if not partial:
        yield _way("A book for this folder", "", "", [command])
        return
    for title, note, option in _answers(tagged):
        yield _way(title, note, "", [f"{command} --option 'unannotated: {option['unannotated']}'"])


def _answers(tagged: bool) -> Iterator[tuple[str, str, Plain]]:
    yield "Left out", "The images with labels alone are learned from.", LEFT_OUT
    if tagged:
        yield "Tags alone", "The others take part by their tags, in methods that learn from tags.", UNLABELLED
    yield "Without an object", "All that the others show is background.", BACKGROUND


class _Ways:
    """The ways to learn from the labels of a book's split."""

    def __init__(
        self,
        book: Book,
        images: ImageSet,
        targets: Targets,
        split: str,
        there: Mapping[str, Collection[str]],
        program: str,
    ) -> None:
        self._book, self._there = book, there
        self._segmenter = _segmenter(book, images.catalogue.name)
        self._name, self._entry = numbered(NAME, book.names("supervision")), new_entry(images, targets, split)
        self._in_blocks = file_to_edit(book).endswith(SOURCE)
        where = "" if book.book.path == "." else f" --book {book.book.path}"
        self._run = lambda stage: f"{program} run {stage}{where}"
        self._expand = [f"{program} expand{where}"] if self._in_blocks else []
        self._new = any(one.entry is None and there[one.kind] for one in targets.all)

    def ways(self, entries: list[str], partial: bool, tagged: bool) -> Iterator[Plain]:
        """Lines for a new entry, or for what learns from the entries that there are already."""
        if not self._new:
            for name in entries:
                yield from self._of_entry(name)
            return
        if self._segmenter is not None:
            below = self._segmenter.entry.supervision
            note = f"They lie over the labels that '{self._segmenter.name}' learned from; all else keeps these."
            yield self._way(f"Over '{below}'", note, LEFT_OUT if partial else {}, over_labels)
        if not partial:
            yield self._way("Alone", "The drawn labels are all that is learned from.", {}, self._alone)
            return
        for title, note, option in _answers(tagged):
            yield self._way(title, note, option, None if option is UNLABELLED else self._alone)

    @property
    def _alone(self) -> Any:
        """Boxes label no pixel with their class: a segmenter learns nothing from them alone."""
        return taught_by if self._there["points"] or self._there["scribbles"] else None

    def _of_entry(self, name: str) -> Iterator[Plain]:
        yield _way(f"Entry '{name}' reads them", "", "", [self._run(f"import_annotations@{name}")])

    def _way(self, title: str, note: str, option: Plain, teach: Any) -> Plain:
        options = self._entry.get("options", {}) | option
        entry = self._entry | ({"options": options} if options else {})
        sections: Plain = {"import_annotations": {self._name: entry}}
        stage = f"import_annotations@{self._name}"
        if teach is not None and self._segmenter is not None:
            sections |= teach(self._segmenter, self._name, lambda name: f"{name}_{self._name}")
            stage = f"train@{next(iter(sections['train']))}"
            if option is LEFT_OUT and teach is taught_by:
                self._fit(sections["train"].values())
        lines = _yaml({self._name: sections} if self._in_blocks else sections)
        return _way(title, note, lines, [*self._expand, self._run(stage)])

    def _fit(self, trainings: Iterable[Plain]) -> None:
        """Take no larger batches than there are images with labels: they could not be filled."""
        drawn = len(set().union(*self._there.values()))
        for entry in trainings:
            loader, settings = entry.get("loader", {}), entry.get("settings", {})
            accumulate = settings.get("accumulate", 1)
            size, parts = fitting(loader.get("batch_size", LoaderOptions().batch_size), accumulate, drawn)
            entry["loader"] = loader | {"batch_size": size}
            if parts != accumulate:
                entry["settings"] = settings | {"accumulate": parts}


def _way(title: str, note: str, lines: str, commands: list[str]) -> Plain:
    return {"title": title, "note": note, "lines": lines, "commands": commands}


def _segmenter(book: Book, data: str) -> Trained | None:
    """What the book segments with, if it learned from this data set."""
    try:
        found = Trained(book, segmenter_of(book, None))
    except ConfigurationError:
        return None
    return found if found.entry.data == data else None


def _yaml(sections: Any) -> str:
    """Inner lists and options in one line each."""
    text: str = yaml.safe_dump(sections, default_flow_style=None, sort_keys=False, allow_unicode=True, width=10_000)
    return text.rstrip()
