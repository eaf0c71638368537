"""params.yaml -> validated objects. Every name resolves here, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from models.errors import ConfigurationError, closest
from models.options import description, wanted
from pipeline.book.agreement import SOURCE, book_option
from pipeline.book.artifacts import PRODUCERS, VERBS, kind_of
from pipeline.book.entries import (
    AlignCamsEntry,
    AnnotateEntry,
    ClassifyProposalsEntry,
    EvaluateBoxesEntry,
    EvaluateEntry,
    ExportCamsEntry,
    ImportAnnotationsEntry,
    ImportProposalsEntry,
    ImportWeightsEntry,
    MakePseudoMasksEntry,
    MergeCamsEntry,
    Name,
    OverlayLabelsEntry,
    PredictMasksEntry,
    PrepareEntry,
    PropagateCamsEntry,
    RefineCamsEntry,
    TrainEntry,
)
from pipeline.book.expansion import Expansion
from pipeline.book.head import BookSettings, TableSettings
from pipeline.book.lines import located, with_line
from pipeline.book.options import block_of
from pipeline.book.yaml_text import parse_once
from pipeline.compute.project import is_root
from pipeline.problems.notices import first_lines

Elsewhere: TypeAlias = Callable[[Sequence[str]], str]

MOST_PROBLEMS = 20
"""Problems of a book that a message lists; they show again once those are mended."""


@dataclass(frozen=True)
class _Origin:
    """The file of a book; books that say the same are equal, wherever they were read."""

    file: Path | None = field(default=None, compare=False)


class Book(BaseModel):
    """A recipe book: one params.yaml over the shared dvc.yaml, which wants most sections, if only as ``{}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    book: BookSettings
    table: TableSettings = TableSettings()
    prepare: dict[Name, PrepareEntry]
    annotate: dict[Name, AnnotateEntry]
    import_annotations: dict[Name, ImportAnnotationsEntry]
    import_weights: dict[Name, ImportWeightsEntry]
    import_proposals: dict[Name, ImportProposalsEntry] = {}
    train: dict[Name, TrainEntry]
    export_cams: dict[Name, ExportCamsEntry]
    refine_cams: dict[Name, RefineCamsEntry]
    propagate_cams: dict[Name, PropagateCamsEntry]
    align_cams: dict[Name, AlignCamsEntry] = {}
    merge_cams: dict[Name, MergeCamsEntry] = {}
    make_pseudo_masks: dict[Name, MakePseudoMasksEntry]
    overlay_labels: dict[Name, OverlayLabelsEntry] = {}
    predict_masks: dict[Name, PredictMasksEntry]
    classify_proposals: dict[Name, ClassifyProposalsEntry] = {}
    evaluate: dict[Name, EvaluateEntry]
    evaluate_boxes: dict[Name, EvaluateBoxesEntry]
    _origin: _Origin = PrivateAttr(_Origin())

    @property
    def file(self) -> Path | None:
        """The params.yaml that it was read from, for the lines in messages; None for one that was not read."""
        return self._origin.file

    def changed(self, sections: Mapping[str, Any]) -> Book:
        """The same book with other (valid) sections, as no file has it."""
        copy = self.model_copy(update=sections)
        copy._origin = _Origin()
        return copy

    @property
    def name(self) -> str:
        """Short name, for MLflow experiments and titles."""
        return Path(self.book.work).name

    def entries(self) -> Iterator[tuple[str, str]]:
        """(verb, name) of every entry, in the order of the algebra."""
        for verb in VERBS:
            yield from ((verb, name) for name in getattr(self, verb))

    def entry(self, verb: str, name: str) -> Any:
        """The entry ``name`` of section ``verb``.

        Raises:
            ConfigurationError: no such entry; the message has the closest one.
        """
        section = getattr(self, verb)
        if name not in section:
            raise ConfigurationError(
                f"{self.book.params} has no entry '{name}' under '{verb}:'.{closest(name, section)}"
            )
        return section[name]

    def producer(self, kind: str, name: str) -> tuple[str, Any] | None:
        """(verb, entry) that makes the artefact ``name`` of ``kind``, or None."""
        for verb in PRODUCERS[kind]:
            if name in getattr(self, verb):
                return verb, getattr(self, verb)[name]
        return None

    def names(self, kind: str) -> list[str]:
        """Every name that an artefact of ``kind`` has in this book."""
        return [name for verb, name in self.entries() if kind_of(verb) == kind]


def load_book(folder: str | Path = ".") -> Book:
    """Read and validate the shape of ``folder/params.yaml`` (names are resolved by ``pipeline.book.check``).

    Raises:
        ConfigurationError: no such file, not YAML, an unknown or missing key, a value of the wrong type;
            all problems are reported together. Or it is a copy that names the original's folder.
    """
    path = Path(folder) / "params.yaml"
    if path.is_dir():
        raise ConfigurationError(f"{path}: expected a file, found a folder of that name.")
    if not path.is_file():
        raise ConfigurationError(_no_book(path))
    try:
        content = parse_once(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: expected UTF-8 text, found other bytes ({error}). Save it as UTF-8."
        ) from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: expected sections (book:, prepare:, train:, ...), found {content!r:.60}")
    return validated(content, path)


def validated(content: Mapping[str, Any], path: Path, expansion: Expansion | None = None) -> Book:
    """The book that the content of a params.yaml is.

    Args:
        path: the params.yaml, which is there or will be.
        expansion: where the content comes from, if not from that file.

    Raises:
        ConfigurationError: an unknown or missing key, a value of the wrong type, or the folder of another book.
    """
    try:
        book = Book.model_validate(content)
    except ValidationError as error:
        problems = located(path, one_screen(explain(error, Book, elsewhere=_block_beside(content))), expansion)
        file = path if expansion is None else Path(expansion.written.name)
        raise ConfigurationError(f"{file} does not hold:\n" + "\n".join(problems)) from None
    _require_own_place(book, path.parent)
    book._origin = _Origin(path.absolute())
    return book


def _block_beside(content: Mapping[str, Any]) -> Elsewhere:
    """For keys that stand beside the block of options that takes them."""

    def hint(location: Sequence[str]) -> str:
        verb, name, key = location if len(location) == 3 else ("", "", "")
        written = content[verb].get(name) if verb in VERBS else None
        block = block_of(verb, written, key) if isinstance(written, dict) else None
        return f" It belongs in `{block}:`." if block else ""

    return hint


def _no_book(path: Path) -> str:
    if path.with_name(SOURCE).is_file():
        return (
            f"{path}: expected what {path.with_name(SOURCE).as_posix()} says, found no such file. "
            f"Remedy: python -m pipeline expand{book_option(path.parent)}."
        )
    return (
        f"No recipe book at {path}: expected a params.yaml there. "
        f"Run from the project's root; name another book with --book.{closest(str(path.parent), _known_books())}"
    )


def _require_own_place(book: Book, folder: Path) -> None:
    """A copy that still names the original would run the original."""
    resolved, root = folder.resolve(), Path.cwd()
    project = (resolved / book.book.root).resolve()
    if resolved == root != project and (project / book.book.path).resolve() == resolved and is_root(project):
        raise ConfigurationError(
            f"This is the folder of a book. Run in the project's root: cd {project}, with --book {book.book.path}."
        )
    if resolved.is_relative_to(root) and resolved != (root / book.book.path).resolve():
        place = resolved.relative_to(root).as_posix()
        raise ConfigurationError(
            f"{with_line(folder / 'params.yaml', 'book.path')}: book.path says that it lies in {book.book.path}. Is it "
            f"a copy? Then write under `book:` path: {place}, params: {place}/params.yaml, and a `work:` of its own: "
            f"work/{resolved.name}. "
            "`python -m pipeline copy` makes a copy that has them."
        )


def _known_books() -> list[str]:
    return [".", *(str(path.parent) for path in Path("recipes").glob("*/params.yaml"))]


def explain(
    error: ValidationError, model: type[BaseModel], prefix: str = "", elsewhere: Elsewhere = lambda location: ""
) -> list[str]:
    """One line per problem: where, what was expected, what was found, the closest valid key.

    Args:
        error: what validating against ``model`` raised.
        model: its fields are the valid keys.
        prefix: where in the book the model lies.
        elsewhere: for the place of an unknown key, a sentence where in the entry it belongs, or "".
    """
    lines = []
    for key, of_key in groupby(error.errors(), key=lambda problem: problem["loc"][:1]):
        problems = list(of_key)
        if expected := wanted(problems, description(model.model_fields.get(str(*key)))):
            lines.append(_out_of_range(problems, expected, prefix))
        else:
            lines += _explained(problems, model, prefix, elsewhere)
    return lines


def _out_of_range(problems: Sequence[ErrorDetails], expected: str, prefix: str) -> str:
    """The line of one option; an element of a list is named by its place."""
    first = next((one for one in problems if one["type"] == "finite_number"), problems[0])
    name, *inside = first["loc"]
    where = ".".join(filter(None, [prefix, str(name), *(str(part) for part in inside if isinstance(part, int))]))
    return f"  {where}: expected {expected}, found {first['input']!r:.80}."


def _explained(
    problems: Sequence[ErrorDetails], model: type[BaseModel], prefix: str, elsewhere: Elsewhere
) -> list[str]:
    lines = []
    for problem in problems:
        location = [str(part) for part in problem["loc"] if part != "[key]"]
        where = ".".join(filter(None, [prefix, *location]))
        if problem["type"] == "extra_forbidden":
            hint = elsewhere(location) or closest(location[-1], _fields_at(model, location[:-1]))
            lines.append(f"  {where}: unknown key '{location[-1]}'.{hint}")
        elif problem["type"] == "missing":
            lines.append(f"  {where}: missing. Add '{location[-1]}:' (a section may be empty: {{}}).")
        elif problem["input"] is None and problem["type"] in ("dict_type", "model_type"):
            lines.append(f"  {where}: expected keys below it, found none. Write {{}} for an empty section.")
        elif problem["type"] == "literal_error" and (known := re.findall(r"'([^']*)'", problem["ctx"]["expected"])):
            lines.append(f"  {where}: unknown value {problem['input']!r:.80}.{closest(str(problem['input']), known)}")
        else:
            lines.append(f"  {where}: {problem['msg']}, found {problem['input']!r:.80}")
    return lines


def one_screen(lines: list[str]) -> list[str]:
    """The first lines of a list of problems, and how many more there are."""
    return first_lines(lines, MOST_PROBLEMS, "  and {} more")


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Field names of the model that lies at ``location`` (section, entry name, ...) below ``model``."""
    current: Any = model
    for part in location:
        fields = getattr(current, "model_fields", None)
        if fields and part in fields:
            annotation = fields[part].annotation
            arguments = [one for one in getattr(annotation, "__args__", ()) if one is not type(None)]
            current = arguments[-1] if arguments else annotation
    return list(getattr(current, "model_fields", {}))
