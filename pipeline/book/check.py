"""Validate a whole recipe book in about a second: every name, option and file, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from models.backbones import BACKBONES
from models.doors import resolve
from models.errors import ConfigurationError, closest
from models.methods import ADD_ONS, METHODS
from pipeline.annotations import ANNOTATORS
from pipeline.book.artifacts import PRODUCERS, kind_of
from pipeline.book.check_graph import circle_problems, label_problems, split_problems, teaching_problems
from pipeline.book.check_prompts import prompt_problems
from pipeline.book.check_roles import instance_problems, keeping_problems, role_problems
from pipeline.book.check_table import table_problems
from pipeline.book.lineage import REFERENCES
from pipeline.book.lines import located
from pipeline.book.options import DOORS, OPTIONS, _declared
from pipeline.book.params import Book, explain, one_screen
from pipeline.book.signatures import has_method, options_model, trait

BASE = "models.backbones.base:Backbone"


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
        listed = one_screen(located(book.file, [f"  {problem}" for problem in problems]))
        raise ConfigurationError(f"{book.book.params}: {count}\n" + "\n".join(listed))


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
    if verb == "import_weights" and entry.download and entry.official:
        yield f"{where}.download: belongs to `architecture:`. Get the file yourself and name it: `file: PATH`."
    if verb == "import_weights" and bool(entry.architecture) == bool(entry.official):
        yield (
            f"{where}: expected either `architecture:` (weights of a backbone) or `official:` (a published network), "
            f"found {'both' if entry.official else 'neither'}."
        )
    yield from _extra_problems(where, entry)
    if verb == "import_weights":
        yield from prompt_problems(where, entry)
    if verb == "train" and not trait(METHODS.get(entry.method), "trains", True):
        yield f"{where}.method: '{entry.method}' is not trained. Remedy: `import_weights` makes its checkpoint."
    if verb in ("annotate", "import_annotations") and "file" in entry.options:
        remedy = "Write it under 'import_annotations:', as `file:` beside `kind:`, so that DVC sees it change."
        yield f"{where}.options.file: an annotation file is no option. {remedy}"
    yield from _option_problems(verb, name, entry)
    if verb == "annotate" and entry.kind == "shapes":
        yield f"{where}.kind: shapes are never derived. Write the entry under 'import_annotations:', with its `file:`."
    if getattr(entry, "kind", "") == "mixture":
        if verb == "annotate" and "parts" not in entry.options:
            yield f"{where}.options.parts: missing. Name kinds and their parts: {{boxes: 0.5, points: 0.5}}."
        yield from _mixture_problems(f"{where}.options.options", entry.options.get("options"))
    if verb == "train":
        yield from _add_on_problems(where, entry)
        yield from keeping_problems(where, entry)
    yield from role_problems(book, where, entry, verb)
    yield from instance_problems(book, where, entry)
    yield from _split_problems(book, where, entry)


def _extra_problems(where: str, entry: Any) -> Iterator[str]:
    """Components that need a package which the base installation lacks."""
    model = getattr(entry, "model", {})
    named = {"architecture": getattr(entry, "architecture", None), "model.backbone": model.get("backbone")}
    for key, value in named.items():
        package, extra = trait(BACKBONES.get(str(value)), "package") or ("", "")
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
        if field == "model":
            yield from _backbone_problems(f"{verb}.{name}.model", entry.method, target, given)
        for key in ("backbone", "head"):
            if isinstance(given.get(key), str) and given[key] not in DOORS[key]:
                where = f"{verb}.{name}.{field}.{key}"
                yield f"{where}: unknown {key} '{given[key]}'.{closest(given[key], DOORS[key])}"


def _backbone_problems(where: str, method: str, target: str, given: Mapping[str, Any]) -> Iterator[str]:
    """A backbone with strides of its own, or without the attention or the tokens that the page reads."""
    defaults = {key: field.default for key, field in options_model(target).model_fields.items()}
    backbone, stride = (given.get(key, defaults.get(key)) for key in ("backbone", "output_stride"))
    if not isinstance(backbone, str) or backbone not in BACKBONES:
        return
    known, own = trait(BACKBONES[backbone], "output_strides"), "/" not in backbone  # a library's says the rest itself
    if stride in trait(BASE, "output_strides") and stride not in known:
        yield (
            f"{where}.output_stride: '{backbone}' has {known[0]}, found {stride}"
            f"{'' if 'output_stride' in given else ' (the default)'}. Remedy: output_stride: {known[0]}."
        )
    if own and trait(target, "reads_attention") and not has_method(BACKBONES[backbone], "with_attention"):
        able = ", ".join(name for name, target in BACKBONES.items() if has_method(target, "with_attention"))
        yield f"{where}.backbone: '{method}' reads attention; backbones that have it: {able}."
    if trait(target, "reads_texts") and "clip" not in backbone:
        towers = ", ".join(name for name in BACKBONES if "clip" in name)
        yield f"{where}.backbone: '{method}' reads texts beside images, found '{backbone}'. Remedy: one of {towers}."
    if own and trait(target, "reads_tokens"):
        yield (
            f"{where}.backbone: '{method}' reads tokens of a vision transformer, found '{backbone}'. Remedy: one of "
            "timm, such as timm/vit_base_patch16_224."
        )


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
    """Options that a component does not take, of the wrong type, out of range, or that exclude each other.

    A component that is ``built_by_check`` says the last itself, when it is built; it may import no torch.
    """
    model = options_model(target)
    try:
        checked = model.model_validate(given)
        for low, high in trait(target, "bands", ()):
            least, most = getattr(checked, low), getattr(checked, high)
            if least > most:
                yield f"{where}.{low}: expected at most {high} ({most!r:.20}), found {least!r:.20}."
        if trait(target, "built_by_check"):
            resolve({"": target}, "", "")(**given)
    except ValidationError as error:
        yield from (line.strip() for line in explain(error, model, where, lambda location: homes.get(location[-1], "")))


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
    """Supervision, CAMs and proposals must come from the data set that the entry names."""
    for key in ("supervision", "over", "cams", "other", "proposals"):
        value = getattr(entry, key, None)
        made = book.producer(REFERENCES[key], value) if value else None
        if made and made[1].data != entry.data:
            yield f"{where}.{key}: '{value}' belongs to data '{made[1].data}', not to '{entry.data}'."
    if (other := getattr(entry, "other", None)) and other == entry.cams:
        yield f"{where}.other: expected CAMs beside '{other}', found the same: their mean would be '{other}' itself."


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
