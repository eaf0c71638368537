"""The page of the keys of a book: sections from the models, options from signatures and docstrings."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from docs.tools.docstrings import attributes, meanings, summary
from docs.tools.examples import entry_text
from docs.tools.tables import table
from docs.tools.types import as_yaml, in_words
from models.methods import ADD_ONS
from pipeline.book.artifacts import TABLE_ROWS, VERBS, kind_of
from pipeline.book.head import BookSettings, BoxesRow, RecipeRow, RepeatsRow, TableSettings
from pipeline.book.options import DOORS, OPTIONS
from pipeline.book.params import Book
from pipeline.book.signatures import options_model
from pipeline.commands.app import app
from pipeline.weights.official.table import OFFICIAL

HEAD = """# Keys of a book

This page lists every key that `params.yaml` of a recipe book may have, with what it may be and what it is when it is
left out. Use it beside an editor; `python -m pipeline check` reports whatever a book has wrong, with the line and the
closest valid name. How a book is put together is in [Recipe books](../books.md).

A book has the sections `book`, `table` and one for each verb. Every verb must be there, if only as `{}`, but for
`import_proposals`, `align_cams`, `merge_cams`, `overlay_labels` and `classify_proposals`. The keys below
a verb are names of your choice (lower case, digits, underscores): each is one stage. Entries refer to each other by
these names.
"""
ON_A_BACKBONE = "models.backbone_method:BackboneMethod"
COMPONENTS = {
    "reader": ("Readers", "Values of `prepare.NAME.reader`; the options stand in `prepare.NAME.options`."),
    "kind": (
        "Kinds of supervision",
        "Values of `kind` in `annotate` and `import_annotations`; the options stand in `options` beside it.",
    ),
    "method": ("Methods", "Values of `train.NAME.method`; the options stand in `train.NAME.model`."),
    "add_on": ("Add-ons", "Keys of `train.NAME.add_ons`, each with its options."),
    "refiner": ("Refiners", "Values of `refine_cams.NAME.refiner`; the options stand in `refine_cams.NAME.options`."),
    "spread": ("Spreads", "Values of `propagate_cams.NAME.spread`; the options stand in `options` beside it."),
    "proposer": ("Proposers", "Values of `import_proposals.NAME.proposer`; the options stand in `options` beside it."),
    "aligner": ("Aligners", "Values of `align_cams.NAME.aligner`; the options stand in `options` beside it."),
    "rule": ("Rules", "Values of `make_pseudo_masks.NAME.rule`; the options stand in `options` beside it."),
}
"""Doors of which each component has options of its own: heading, and where they stand."""
NAMES = {
    "backbone": ("Backbones", "Values of `backbone` of a method, and of `import_weights.NAME.architecture`."),
    "head": ("Heads", "Values of `head` of a method."),
}
"""Doors whose components have no options in a book."""
PAGES = {
    "method": "", "add_on": "", "refiner": "", "rule": "pseudo_masks", "proposer": "proposals", "aligner": "proposals",
}  # fmt: skip
"""Doors whose components have a page of prose: the component's name, unless it is said here."""


def page() -> str:
    """The whole page."""
    doors = {**DOORS, "add_on": ADD_ONS}
    blocks = [
        HEAD,
        *_general(),
        *(block for verb in VERBS for block in _section(verb)),
        *(block for door, (heading, text) in COMPONENTS.items() for block in _door(door, doors[door], heading, text)),
        *(block for door, (heading, text) in NAMES.items() for block in _names(doors[door], heading, text)),
        *_official(),
    ]
    return "\n\n".join(block.strip() for block in blocks if block.strip()) + "\n"


def _general() -> Iterator[str]:
    yield "## `book`"
    yield _fields(BookSettings)
    yield "## `table`"
    yield summary(TableSettings)
    yield _fields(TableSettings)
    yield "A row of `table.recipes`:"
    yield _fields(RecipeRow)
    yield "A row of `table.repeats`:"
    yield _fields(RepeatsRow)
    yield "A row of `table.boxes`:"
    yield _fields(BoxesRow)


def _section(verb: str) -> Iterator[str]:
    model = Book.model_fields[verb].annotation.__args__[1]  # type: ignore[union-attr]
    helped = next(command for command in app.registered_commands if command.name == verb).callback
    yield f"## `{verb}`"
    yield f"{summary(helped).splitlines()[0]} An entry makes `{kind_of(verb)}/NAME` in the book's work folder."
    yield f"```yaml\n{entry_text(verb)}\n```"
    yield _fields(model)
    for key, part in _parts(model):
        yield f"### `{verb}.NAME.{key}`"
        yield summary(part)
        yield _fields(part)
    for field, target in ((field, target) for (owner, field), target in OPTIONS.items() if owner == verb):
        if ":" in target and not (field == "regions" and verb != "annotate"):
            yield f"### `{verb}.NAME.{field}`"
            yield from _component(target)
    if verb == "evaluate":
        yield "Of CAMs (`of: cams/NAME`):"
        yield _options("stages.evaluate:score_cams")


def _parts(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Keys whose values have keys of their own."""
    for key, field in model.model_fields.items():
        for one in get_args(field.annotation):
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield key, one


def _door(door: str, components: Mapping[str, str], heading: str, text: str) -> Iterator[str]:
    yield f"## {heading}"
    yield text
    if door == "method":
        yield "### Every method on a backbone"
        yield "Each method below has these too, with these defaults unless its table names others."
        yield _options(ON_A_BACKBONE)
    for name, target in components.items():
        yield f"### {heading_of(door)} `{name}`"
        yield from _component(target, common=ON_A_BACKBONE if door == "method" else None)
        if door in PAGES:
            prose = PAGES[door] or name
            yield f"Equations, constants and sources: [{prose}.md](../methods/{prose}.md)."


def heading_of(door: str) -> str:
    """What a component of a door is called: ``Add-on``."""
    return door.replace("_", "-").capitalize()


def _names(components: Mapping[str, str], heading: str, text: str) -> Iterator[str]:
    yield f"## {heading}"
    yield text
    rows = [(f"`{name}`", summary(_object(target)).partition("\n\n")[0]) for name, target in components.items()]
    yield table(("name", "is"), rows)


def _official() -> Iterator[str]:
    yield "## Official networks"
    yield (
        "Values of `import_weights.NAME.official` and of `python -m pipeline import-checkpoint`: networks that a paper "
        "published, each read as one of the methods above."
    )
    rows = [
        (f"`{name}`", f"`{one.method}`", f"`{one.source}`", f"`{one.checkpoints}`" if one.checkpoints else "")
        for name, one in OFFICIAL.items()
    ]
    yield table(("name", "method", "source", "files"), rows)


def _component(target: str, common: str | None = None) -> Iterator[str]:
    component = _object(target)
    if not target.startswith("stages.evaluate:"):  # the verb's help has it
        yield summary(component)
    yield _options(target, common) or "It has no options."
    if common and issubclass(component, _object(common)):
        yield "And the [options of every method on a backbone](#every-method-on-a-backbone)."


def _fields(model: type[BaseModel]) -> str:
    meaning = attributes(model)
    rows = []
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"`{as_yaml(field.get_default(call_default_factory=True))}`"
        rows.append((f"`{name}`", _values(name, in_words(field), model), default, meaning.get(name, "")))
    return table(("key", "value", "default", "meaning"), rows)


def _values(name: str, words: str, model: type[BaseModel]) -> str:
    """A name's kind where the key names a component or another artefact."""
    if name in TABLE_ROWS:
        return "rows, below"
    if words == "text" and name in DOORS:
        return f"name of {'an' if name[0] in 'aeio' else 'a'} {name}"
    return words


def _options(target: str, common: str | None = None) -> str:
    component, meaning = _object(target), meanings(_object(target))
    base = options_model(common).model_fields if common and issubclass(component, _object(common)) else {}
    rows = []
    for name, field in options_model(target).model_fields.items():
        default = _default(component, name, field.default)
        if name in base and default == base[name].default:
            continue
        shown = "required" if default is PydanticUndefined else f"`{as_yaml(default)}`"
        words = f"name of a {name}" if name in ("backbone", "head") else in_words(field)
        rows.append((f"`{name}`", words, shown, meaning.get(name, "")))
    return table(("option", "value", "default", "meaning"), rows) if rows else ""


def _default(component: Any, name: str, parsed: Any) -> Any:
    """The default of an option as Python has it: what was parsed has none where it is no literal."""
    for owner in inspect.getmro(component) if isinstance(component, type) else (component,):
        if dataclasses.is_dataclass(owner):
            field = {one.name: one for one in dataclasses.fields(owner)}.get(name)
            if field is not None and field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
            if field is not None:
                return PydanticUndefined if field.default is dataclasses.MISSING else field.default
        called = vars(owner).get("__init__") if isinstance(owner, type) else owner
        parameter = inspect.signature(called).parameters.get(name) if callable(called) else None
        if parameter is not None:
            return PydanticUndefined if parameter.default is inspect.Parameter.empty else parameter.default
    return parsed


def _object(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
