"""The book of a dry run: a copy of the loaded one with another work folder, fewer images and fewer steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from models.errors import ConfigurationError
from pipeline.book.check_graph import label_files, region_folders
from pipeline.book.entries import ImportWeightsEntry, PrepareEntry
from pipeline.book.lineage import Node, ancestors
from pipeline.book.lines import located
from pipeline.book.params import Book
from pipeline.running.dry_run.limits import Limits

SCRATCH_WORK = Path("work/dry_run")


@dataclass(frozen=True)
class Derived:
    """What a dry run runs.

    Attributes:
        book: its book; the folder ``book.book.path`` is its own, and holds its params.yaml once :meth:`write` ran.
        order: entries to run, each after the ones it stands on.
        unable: entries that cannot run here, and why.
        notices: what is otherwise than the book says, beside the limits.
    """

    book: Book
    order: tuple[Node, ...]
    unable: Mapping[Node, str]
    notices: tuple[str, ...]

    def write(self) -> Path:
        """Write the book's params.yaml; returns its folder."""
        folder = Path(self.book.book.path)
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(self.book.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        Path(self.book.book.params).write_text(text, encoding="utf-8")
        return folder


def derive(book: Book, targets: Sequence[str], limits: Limits) -> Derived:
    """The dry run of some stages of a checked book, and of all that they stand on.

    Args:
        book: checked by name; its sources are linked.
        targets: ``VERB@NAME``; none for every entry.
        limits: how small it is.

    Raises:
        ConfigurationError: a data set that is needed is not there.
    """
    order = _order(book, targets)
    _require_data(book, order)
    weights = {name: weights_entry(book, name) for name in book.import_weights}
    unable = _missing_labels(book, order)
    folder = SCRATCH_WORK / book.name
    places = {"root": "../../..", "path": str(folder), "params": str(folder / "params.yaml"), "work": str(folder)}
    sections = {
        "book": book.book.model_copy(update=places),
        "prepare": {name: _few_images(entry, limits.images) for name, entry in book.prepare.items()},
        "import_weights": {name: entry for name, (entry, _) in weights.items()},
        "train": {name: limits.training(entry) for name, entry in book.train.items()},
        "export_cams": {name: limits.use(entry) for name, entry in book.export_cams.items()},
        "propagate_cams": {name: limits.use(entry) for name, entry in book.propagate_cams.items()},
        "predict_masks": {name: limits.use(entry) for name, entry in book.predict_masks.items()},
        "evaluate_boxes": {name: limits.use(entry) for name, entry in book.evaluate_boxes.items()},
    }
    notices = [notice for name, (_, notice) in weights.items() if notice and ("import_weights", name) in order]
    return Derived(book.changed(sections), order, unable, tuple(notices))


def weights_entry(book: Book, name: str) -> tuple[ImportWeightsEntry, str]:
    """The entry as a dry run imports it, and a notice where that is not as the book says.

    Weights that are not there, or would be downloaded, become random weights of the same network.
    """
    entry = book.import_weights[name]
    if entry.architecture == "random" or (Path(entry.file).is_file() and not entry.download):
        return entry, ""
    found = "would be downloaded" if entry.download else f"{entry.file} is not there"
    notice = f"import_weights@{name}: {found}; random weights stand for {entry.official or entry.architecture}."
    if not entry.official:
        return ImportWeightsEntry(architecture="random", file=entry.file), notice
    classes = entry.classes or _class_names(book, name)
    return entry.model_copy(update={"untrained": True, "classes": classes}), notice


def _class_names(book: Book, checkpoint: str) -> list[str] | None:
    """Of the data set that an imported network is used on; None for VOC's."""
    from pipeline.datasets.class_names import COCO_CLASSES

    for verb, name in book.entries():
        entry = book.entry(verb, name)
        if checkpoint in (getattr(entry, "checkpoint", None), getattr(entry, "init", None)):
            data = book.prepare[entry.data]
            return data.options.get("classes") or (list(COCO_CLASSES) if data.reader == "coco" else None)
    return None


def _order(book: Book, targets: Sequence[str]) -> tuple[Node, ...]:
    named = [target.partition("@") for target in targets if target != "code"]
    wanted = [(verb, name) for verb, _, name in named] if targets else list(book.entries())
    return tuple(dict.fromkeys(node for verb, name in wanted for node in ancestors(book, verb, name)))


def _few_images(entry: PrepareEntry, images: int | None) -> PrepareEntry:
    options = entry.options | ({"download": False} if "download" in entry.options else {})
    counts = [count for count in (entry.limit, images) if count is not None]
    return entry.model_copy(update={"limit": min(counts, default=None), "options": options})


def _require_data(book: Book, order: Sequence[Node]) -> None:
    needed = [(f"prepare.{name}.root", book.prepare[name].root) for verb, name in order if verb == "prepare"]
    needed += [(key, path) for key, path in label_files(book) if ("prepare", key.split(".")[1]) in order]
    missing = [
        f"  {key}: {path} does not exist.{_where(book, path)}" for key, path in needed if not Path(path).exists()
    ]
    if missing:
        raise ConfigurationError(
            f"A dry run of {book.book.params} needs its data sets, and some are not there:\n"
            + "\n".join(located(book.file, missing))
            + "\n"
            "Remedy without the data: `python -m benchmarks.devkit FOLDER --images 40 --val 16` makes images in VOC's "
            "layout (`--coco`: in COCO's)."
        )


def _where(book: Book, path: str) -> str:
    for source, variable in book.book.sources.items():
        if path == source or path.startswith(f"{source}/"):
            return f" Set {variable} to where {source} lies, or: python -m pipeline link {source} FOLDER."
    return ""


def _missing_labels(book: Book, order: Sequence[Node]) -> dict[Node, str]:
    """Entries whose files of labels, regions or proposals are not there."""
    files = [(("import_annotations", name), entry.file) for name, entry in book.import_annotations.items()]
    files += [(("import_proposals", name), entry.file) for name, entry in book.import_proposals.items()]
    for key, folder in region_folders(book):
        verb, name, *_ = key.split(".")
        files.append(((verb, name), folder))
    return {node: f"{path} is not there" for node, path in files if node in order and not Path(path).exists()}
