"""The options of an entry, what the book gives apart from what is a default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.methods import ADD_ONS
from pipeline.book.check_roles import trained_page
from pipeline.book.entries import Entry
from pipeline.book.lineage import REFERENCES
from pipeline.book.options import OPTIONS, effective_options
from pipeline.book.params import Book
from pipeline.book.signatures import options_model

COMPONENTS = {
    "prepare": "reader",
    "annotate": "kind",
    "import_annotations": "kind",
    "train": "method",
    "import_proposals": "proposer",
    "refine_cams": "refiner",
    "align_cams": "aligner",
    "make_pseudo_masks": "rule",
}
"""The key of an entry that names the component it runs."""
PLACES = {*REFERENCES, "of", "root", "file"}
"""Keys that name what an entry reads: they stand among its files."""


@dataclass(frozen=True)
class Setting:
    """One option. ``key`` is its path in the entry (``settings.lr``), ``given`` whether params.yaml has it."""

    key: str
    value: Any
    given: bool


def settings(verb: str, entry: Entry) -> tuple[Setting, ...]:
    """Every option of a checked entry with its value, as JSON has it, in the order of their declaration."""
    return tuple(_settings(verb, entry))


def _settings(verb: str, entry: Any) -> Iterator[Setting]:
    plain = entry.model_dump(mode="json")
    for key in type(entry).model_fields:
        value = getattr(entry, key)
        if key in PLACES or key == COMPONENTS.get(verb):
            continue
        if key == "add_ons":
            for name, options in value.items():
                whole = options_model(ADD_ONS[name]).model_validate(options).model_dump(mode="json")
                yield from _group(f"add_ons.{name}", whole, options)
                if not whole:
                    yield Setting(f"add_ons.{name}", {}, True)
        elif (verb, key) in OPTIONS and value is not None:
            yield from _group(key, effective_options(verb, entry, key), value)
        else:
            yield Setting(key, plain[key], key in entry.model_fields_set)


def _group(key: str, whole: dict[str, Any], given: dict[str, Any]) -> Iterator[Setting]:
    yield from (Setting(f"{key}.{name}", value, name in given) for name, value in whole.items())


def component(book: Book, verb: str, entry: Any) -> str:
    """What an entry runs, in a few words: ``method segmenter``, ``refiner dense_crf``, ``masks of segmenter``."""
    if verb in COMPONENTS:
        add_ons = "".join(f" + {name}" for name in getattr(entry, "add_ons", {}))
        return f"{COMPONENTS[verb]} {getattr(entry, COMPONENTS[verb])}{add_ons}"
    if verb == "import_weights":
        return f"official {entry.official}" if entry.official else f"architecture {entry.architecture}"
    if verb == "merge_cams":
        return f"mean of {entry.cams} and {entry.other}"
    if verb == "overlay_labels":
        return f"{entry.over} over {entry.supervision}"
    if verb == "evaluate":
        return f"scores of {entry.of}"
    made = book.producer("checkpoints", entry.checkpoint)
    method = (trained_page(*made)[0] if made else "") or entry.checkpoint
    words = {
        "export_cams": "CAMs of",
        "propagate_cams": getattr(entry, "spread", "").replace("_", " ") + " of",
        "classify_proposals": "proposals by features of",
        "predict_masks": "masks of",
        "evaluate_boxes": "boxes of cams/" + getattr(entry, "cams", "") + ", classes of",
    }
    return f"{words[verb]} {method}"
