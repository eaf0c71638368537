"""Validate a whole recipe book in about a second: every name, option and file, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from models.backbones import BACKBONES, EXTRAS, OUTPUT_STRIDES, WITH_ATTENTION
from models.doors import resolve
from models.errors import ConfigurationError, closest
from models.heads import HEADS
from models.methods import ADD_ONS, METHODS, READ_ATTENTION
from models.pseudo_masks import RULES
from models.refiners import REFINERS
from pipeline.annotations import ANNOTATORS
from pipeline.artifacts import PRODUCERS, kind_of
from pipeline.check_graph import circle_problems, label_problems, split_problems, teaching_problems
from pipeline.check_roles import instance_problems, role_problems
from pipeline.datasets import READERS
from pipeline.lineage import REFERENCES
from pipeline.official.table import OFFICIAL
from pipeline.params import Book, explain, one_screen
from pipeline.ranges import order_problems, range_problems
from pipeline.signatures import has_method, options_model
from pipeline.tables.check import table_problems

DOORS: dict[str, Mapping[str, str]] = {
    "reader": READERS,
    "kind": ANNOTATORS,
    "method": METHODS,
    "refiner": REFINERS,
    "rule": RULES,
    "backbone": BACKBONES,
    "head": HEADS,
    "architecture": {**BACKBONES, "random": "models.backbones.base:Backbone"},
    "official": dict.fromkeys(OFFICIAL, "pipeline.official.importing:import_official"),
}
"""Keys of params.yaml whose value names a part of a door."""

OPTIONS: dict[tuple[str, str], str] = {
    ("prepare", "options"): "reader",
    ("annotate", "options"): "kind",
    ("import_annotations", "options"): "kind",
    ("annotate", "regions"): "models.ops.oversegmentation:RegionOptions",
    ("import_annotations", "regions"): "models.ops.oversegmentation:RegionOptions",
    ("make_pseudo_masks", "regions"): "models.ops.oversegmentation:RegionOptions",
    ("train", "model"): "method",
    ("train", "loader"): "pipeline.loader_options:LoaderOptions",
    ("train", "settings"): "models.settings:TrainSettings",
    ("export_cams", "options"): "stages.export_cams:export_cams",
    ("refine_cams", "options"): "refiner",
    ("propagate_cams", "options"): "models.refiners.random_walk:RandomWalk",
    ("make_pseudo_masks", "options"): "rule",
    ("predict_masks", "options"): "stages.predict_masks:predict_masks",
    ("predict_masks", "crf"): "models.refiners.dense_crf:SegmentationCrf",
    ("evaluate", "options"): "stages.evaluate:score_masks",
    ("evaluate_boxes", "options"): "stages.evaluate_boxes:score_boxes",
}
"""Where an entry's options are declared: a fixed "module:attribute", or the door key whose value names the part."""

CHECKED_BY_BUILDING = {
    ANNOTATORS["mixture"],
    "pipeline.loader_options:LoaderOptions",
    "models.settings:TrainSettings",
    "models.ops.oversegmentation:RegionOptions",
    "models.refiners.dense_crf:SegmentationCrf",
    "models.refiners.random_walk:RandomWalk",
    *REFINERS.values(),
    *RULES.values(),
}
"""Options whose ranges are checked too: they import no torch."""


def check(book: Book) -> None:
    """Resolve every name and option of ``book``.

    Raises:
        ConfigurationError: the problems, one a line, each with its key and the remedy.
    """
    problems = [problem for verb, name in book.entries() for problem in _entry_problems(book, verb, name)]
    problems += [*_duplicates(book), *table_problems(book), *_place_problems(book)]
    problems += [*circle_problems(book), *split_problems(book), *teaching_problems(book), *label_problems(book)]
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        listed = one_screen([f"  {problem}" for problem in problems])
        raise ConfigurationError(f"{book.book.params}: {count}\n" + "\n".join(listed))


def parts(book: Book, verb: str, name: str) -> tuple[str, ...]:
    """Modules behind the door names of an entry: its method, backbone, head, refiner, rule, reader, annotator."""
    entry = book.entry(verb, name)
    found = list(_own_parts(verb, entry))
    checkpoint = getattr(entry, "checkpoint", None)
    if checkpoint in book.train:
        found += parts(book, "train", checkpoint)
    elif checkpoint in book.import_weights:
        found += _own_parts("import_weights", book.import_weights[checkpoint])
    return tuple(dict.fromkeys(found))


def _own_parts(verb: str, entry: Any) -> Iterator[str]:
    for key, door in DOORS.items():
        value = getattr(entry, key, None)
        if isinstance(value, str) and value in door:
            yield door[value].partition(":")[0]
    if verb == "train" and entry.method in METHODS:
        yield from _page_parts(entry.method, entry.model, entry.add_ons)
    official = OFFICIAL.get(getattr(entry, "official", None) or "")
    if official is not None:
        yield METHODS[official.method].partition(":")[0]
        yield from _page_parts(official.method, official.options, official.add_ons)


def _page_parts(method: str, options: Mapping[str, Any], add_ons: Mapping[str, Any]) -> Iterator[str]:
    """What a page takes from doors by name: its backbone, its head, its add-ons."""
    model = options_model(METHODS[method])
    for key in ("backbone", "head"):
        field = model.model_fields.get(key)
        value = options.get(key, field.default if field else None)
        if isinstance(value, str) and value in DOORS[key]:
            yield DOORS[key][value].partition(":")[0]
    yield from (ADD_ONS[name].partition(":")[0] for name in add_ons if name in ADD_ONS)


def effective_options(verb: str, entry: Any, field: str = "options") -> dict[str, Any]:
    """The options of a checked entry as they will be used, as JSON has them: the book's over the part's defaults."""
    target = _declared(verb, entry, field)
    assert target is not None, "check() resolves every name"
    return options_model(target).model_validate(getattr(entry, field) or {}).model_dump(mode="json")


def _declared(verb: str, entry: Any, field: str) -> str | None:
    """The "module:attribute" that declares the options of an entry; None where the entry names no known part."""
    if verb == "evaluate" and entry.of.startswith("cams/"):
        return "stages.evaluate:score_cams"
    target = OPTIONS[verb, field]
    return target if ":" in target else DOORS[target].get(getattr(entry, target))


def _entry_problems(book: Book, verb: str, name: str) -> Iterator[str]:
    entry = book.entry(verb, name)
    where = f"{verb}.{name}"
    for key, kind in REFERENCES.items():
        value = getattr(entry, key, None)
        if value is not None and book.producer(kind, value) is None:
            yield f"{where}.{key}: nothing makes {kind} '{value}'.{closest(value, book.names(kind))}"
    if verb == "evaluate":
        kind, _, value = entry.of.partition("/")
        if book.producer(kind, value) is None:
            yield f"{where}.of: nothing makes {kind} '{value}'.{closest(value, book.names(kind))}"
    for key, door in DOORS.items():
        value = getattr(entry, key, None)
        if value and value not in door:
            yield f"{where}.{key}: unknown {key} '{value}'.{closest(str(value), door)}"
    if verb == "import_weights" and entry.untrained and not entry.official:
        yield f"{where}.untrained: belongs to `official:`. Write `architecture: random` for a backbone."
    if verb == "import_weights" and bool(entry.architecture) == bool(entry.official):
        yield (
            f"{where}: expected either `architecture:` (weights of a backbone) or `official:` (a published network), "
            f"found {'both' if entry.official else 'neither'}."
        )
    yield from _extra_problems(where, entry)
    if verb in ("annotate", "import_annotations") and "file" in entry.options:
        remedy = "Write it under 'import_annotations:', as `file:` beside `kind:`, so that DVC sees it change."
        yield f"{where}.options.file: an annotation file is no option. {remedy}"
    yield from _option_problems(verb, name, entry)
    if getattr(entry, "kind", "") == "mixture":
        yield from _mixture_problems(f"{where}.options.options", entry.options.get("options"))
    if verb == "train":
        yield from _add_on_problems(where, entry)
    yield from role_problems(book, where, entry, verb)
    yield from instance_problems(book, where, entry)
    yield from _split_problems(book, where, entry)


def _extra_problems(where: str, entry: Any) -> Iterator[str]:
    """Parts that need a package which the base installation lacks."""
    model = getattr(entry, "model", {})
    named = {"architecture": getattr(entry, "architecture", None), "model.backbone": model.get("backbone")}
    for key, value in named.items():
        package, extra = EXTRAS.get(str(value), ("", ""))
        if package and find_spec(package) is None:
            yield (
                f"{where}.{key}: '{value}' needs the package {package}, which is not installed. "
                f"Remedy: pip install 'weak2mask[{extra}]'."
            )


def _option_problems(verb: str, name: str, entry: Any) -> Iterator[str]:
    for owner, field in OPTIONS:
        target = _declared(verb, entry, field) if owner == verb else None
        if target is None:
            continue
        given: dict[str, Any] = getattr(entry, field) or {}
        try:
            yield from _misfits(target, given, f"{verb}.{name}.{field}", _homes(verb, entry, field))
        except ConfigurationError as error:
            yield f"{verb}.{name}." + (str(error) if str(error).startswith(field) else f"{field}: {error}")
        if field == "model" and (known := OUTPUT_STRIDES.get(str(given.get("backbone")))):
            default = options_model(target).model_fields["output_stride"].default
            if (stride := given.get("output_stride", default)) not in known:
                yield (
                    f"{verb}.{name}.{field}.output_stride: '{given['backbone']}' has {known[0]}, found {stride}"
                    f"{'' if 'output_stride' in given else ' (the default)'}. Remedy: output_stride: {known[0]}."
                )
        if field == "model" and entry.method in READ_ATTENTION:
            backbone = given.get("backbone", options_model(target).model_fields["backbone"].default)
            if backbone in BACKBONES and backbone not in WITH_ATTENTION:
                able = ", ".join(WITH_ATTENTION)
                where = f"{verb}.{name}.{field}.backbone"
                yield f"{where}: '{entry.method}' reads attention; backbones that have it: {able}."
        for key in ("backbone", "head"):
            if isinstance(given.get(key), str) and given[key] not in DOORS[key]:
                where = f"{verb}.{name}.{field}.{key}"
                yield f"{where}: unknown {key} '{given[key]}'.{closest(given[key], DOORS[key])}"


def _homes(verb: str, entry: Any, field: str) -> dict[str, str]:
    """Keys that the entry takes, but not in the block ``field``, and where it does."""
    homes = dict.fromkeys(type(entry).model_fields, f" It belongs one level up, beside `{field}:`.")
    for owner, other in OPTIONS:
        target = _declared(verb, entry, other) if owner == verb and other != field else None
        for key in options_model(target).model_fields if target else ():
            homes[key] = f" It belongs in `{other}:`."
    return homes


def _misfits(
    target: str, given: dict[str, Any], where: str, homes: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """Options that a part does not take, of the wrong type, or out of range."""
    model = options_model(target)
    try:
        found = model.model_validate(given)
        yield from range_problems(where, given)
        if target in CHECKED_BY_BUILDING:
            resolve({"": target}, "", "")(**given)
        else:
            yield from order_problems(where, found.model_dump())
    except ValidationError as error:
        yield from (line.strip() for line in explain(error, model, where, homes))


def _add_on_problems(where: str, entry: Any) -> Iterator[str]:
    """Add-ons must be known, take their options, and stand on a page that shows them its CAMs."""
    for name, given in entry.add_ons.items():
        if name not in ADD_ONS:
            yield f"{where}.add_ons: unknown add-on '{name}'.{closest(name, ADD_ONS)}"
        else:
            yield from _misfits(ADD_ONS[name], given, f"{where}.add_ons.{name}")
    if entry.add_ons and entry.method in METHODS and not has_method(METHODS[entry.method], "cam_views"):
        able = [name for name, target in METHODS.items() if has_method(target, "cam_views")]
        yield f"{where}.add_ons: '{entry.method}' learns no CAMs to add to; methods that do: {', '.join(able)}."


def _mixture_problems(where: str, options: Any) -> Iterator[str]:
    """Options of the kinds of a mixture, which itself knows its kinds and parts."""
    for kind, given in options.items() if isinstance(options, dict) else ():
        if kind in ANNOTATORS:
            yield from _misfits(ANNOTATORS[kind], given or {}, f"{where}.{kind}")


def _split_problems(book: Book, where: str, entry: Any) -> Iterator[str]:
    """Supervision and CAMs must come from the data set that the entry names."""
    for key in ("supervision", "cams"):
        value = getattr(entry, key, None)
        made = book.producer(REFERENCES[key], value) if value else None
        if made and made[1].data != entry.data:
            yield f"{where}.{key}: '{value}' belongs to data '{made[1].data}', not to '{entry.data}'."


def _duplicates(book: Book) -> Iterator[str]:
    for kind, verbs in PRODUCERS.items():
        seen: dict[str, str] = {}
        for verb, name in book.entries():
            if kind_of(verb) == kind and name in seen:
                yield f"{verb}.{name}: '{seen[name]}.{name}' already makes {kind} '{name}'. Rename one of them."
            elif verb in verbs:
                seen[name] = verb


def _place_problems(book: Book) -> Iterator[str]:
    """A book says where it lies itself; what it makes must stay in the project."""
    place, params = Path(book.book.path), Path(book.book.params)
    if params != place / "params.yaml":
        yield f"book.params: expected {(place / 'params.yaml').as_posix()} (in book.path), found {params.as_posix()}."
    work = Path(book.book.work)
    if work.is_absolute() or ".." in work.parts or work == Path():
        yield f"book.work: expected a folder in the project, such as work/{book.name or 'toy'}, found '{work}'."
    stages = ["code", *(f"{verb}@{name}" for verb, name in book.entries())]
    for target in book.book.targets:
        if target not in stages:
            yield f"book.targets: no stage '{target}'.{closest(target, stages)}"
