"""Where the options of an entry are declared, and the components that its names stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from models.backbones import BACKBONES
from models.doors import Door
from models.heads import HEADS
from models.methods import ADD_ONS, METHODS
from models.refiners import ALIGNERS, REFINERS, SPREADS
from models.rules import RULES
from pipeline.annotations import ANNOTATORS, PROPOSERS
from pipeline.book.signatures import options_model
from pipeline.datasets import READERS
from pipeline.weights.official.table import OFFICIAL

if TYPE_CHECKING:
    from pipeline.book.params import Book

DOORS: dict[str, Mapping[str, str]] = {
    "reader": READERS,
    "kind": ANNOTATORS,
    "method": METHODS,
    "refiner": REFINERS,
    "spread": SPREADS,
    "aligner": ALIGNERS,
    "proposer": PROPOSERS,
    "rule": RULES,
    "backbone": BACKBONES,
    "head": HEADS,
    "architecture": Door(BACKBONES, random="models.backbones.base:Backbone"),
    "official": dict.fromkeys(OFFICIAL, "pipeline.weights.official.importing:import_official"),
}
"""Keys of params.yaml whose value names a component of a door."""


OPTIONS: dict[tuple[str, str], str] = {
    ("prepare", "options"): "reader",
    ("annotate", "options"): "kind",
    ("import_annotations", "options"): "kind",
    ("annotate", "regions"): "models.ops.oversegmentation:RegionOptions",
    ("import_annotations", "regions"): "models.ops.oversegmentation:RegionOptions",
    ("make_pseudo_masks", "regions"): "models.ops.oversegmentation:RegionOptions",
    ("train", "model"): "method",
    ("train", "loader"): "pipeline.loading.loader_options:LoaderOptions",
    ("train", "settings"): "models.settings:TrainSettings",
    ("export_cams", "options"): "stages.export_cams:export_cams",
    ("refine_cams", "options"): "refiner",
    ("propagate_cams", "options"): "spread",
    ("align_cams", "options"): "aligner",
    ("merge_cams", "options"): "stages.merge_cams:merge_cams",
    ("import_proposals", "options"): "proposer",
    ("make_pseudo_masks", "options"): "rule",
    ("predict_masks", "options"): "stages.predict_masks:predict_masks",
    ("predict_masks", "crf"): "models.refiners.dense_crf:SegmentationCrf",
    ("classify_proposals", "options"): "models.ops.region_bank:BankOptions",
    ("evaluate", "options"): "stages.evaluate:score_masks",
    ("evaluate_boxes", "options"): "stages.evaluate_boxes:score_boxes",
}
"""Where an entry's options are declared: a fixed "module:attribute", or the door key whose value names it."""


def components(book: Book, verb: str, name: str) -> tuple[str, ...]:
    """Modules behind the door names of an entry: its method, backbones, head, refiner, rule, reader, annotators."""
    entry = book.entry(verb, name)
    modules = list(_named_components(verb, entry))
    checkpoint = getattr(entry, "checkpoint", None)
    if checkpoint in book.train:
        modules += components(book, "train", checkpoint)
    elif checkpoint in book.import_weights:
        modules += _named_components("import_weights", book.import_weights[checkpoint])
    return tuple(dict.fromkeys(modules))


def _named_components(verb: str, entry: Any) -> Iterator[str]:
    for key, door in DOORS.items():
        value = getattr(entry, key, None)
        if isinstance(value, str) and value in door:
            yield door[value].partition(":")[0]
    if getattr(entry, "kind", "") == "mixture":  # its file or folder decides which of the kinds it takes from the door
        yield from (target.partition(":")[0] for target in ANNOTATORS.values())
    if (second := getattr(entry, "second", None)) is not None and second.architecture in BACKBONES:
        yield BACKBONES[second.architecture].partition(":")[0]
    if verb == "train" and entry.method in METHODS:
        yield from _page_components(entry.method, entry.model, entry.add_ons)
    official = OFFICIAL.get(getattr(entry, "official", None) or "")
    if official is not None:
        yield METHODS[official.method].partition(":")[0]
        yield from _page_components(official.method, official.options, official.add_ons)


def _page_components(method: str, options: Mapping[str, Any], add_ons: Mapping[str, Any]) -> Iterator[str]:
    """What a page takes from doors by name: its backbones, its head, its add-ons."""
    model = options_model(METHODS[method])
    for key, door in (("backbone", "backbone"), ("second", "backbone"), ("head", "head")):
        field = model.model_fields.get(key)
        value = options.get(key, field.default if field else None)
        if isinstance(value, str) and value in DOORS[door]:
            yield DOORS[door][value].partition(":")[0]
    yield from (ADD_ONS[name].partition(":")[0] for name in add_ons if name in ADD_ONS)


def block_of(verb: str, written: Mapping[str, Any], key: str) -> str | None:
    """The block of options that takes a key which stands beside it, as the entry is written: ``settings`` for ``lr``.

    None where the entry names no known component, or where no block takes the key.
    """
    entry = SimpleNamespace(**{"of": "", **{str(name): value for name, value in written.items()}})
    for owner, field in OPTIONS:
        target = _declared(verb, entry, field) if owner == verb else None
        if target is not None and key in options_model(target).model_fields:
            return field
    return None


def effective_options(verb: str, entry: Any, field: str = "options") -> dict[str, Any]:
    """The options of a checked entry as they will be used, as JSON has them: the book's over the defaults."""
    target = _declared(verb, entry, field)
    assert target is not None, "check() resolves every name"
    return options_model(target).model_validate(getattr(entry, field) or {}).model_dump(mode="json")


def _declared(verb: str, entry: Any, field: str) -> str | None:
    """The "module:attribute" that declares the options of an entry; None where the entry names no known component."""
    if verb == "evaluate" and str(entry.of).startswith("cams/"):
        return "stages.evaluate:score_cams"
    target = OPTIONS[verb, field]
    return target if ":" in target else DOORS[target].get(str(getattr(entry, target, "")))
