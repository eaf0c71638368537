"""What an option may be: its type and its range in one name, which a signature says and ``check`` reads.

``check`` parses signatures without importing their modules, and resolves these names; so this module imports no torch.
An option with a range of its own says it in place: ``mu: Annotated[Number, Field(ge=-20, le=20)]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

from annotated_types import Predicate
from pydantic import AllowInfNan, Field, Strict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from models.errors import ConfigurationError

Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), AllowInfNan(False)]
"""Finite; whole numbers are welcome, text is not."""

Positive = Annotated[Number, Field(gt=0, description="a number above 0")]
NonNegative = Annotated[Number, Field(ge=0, description="a number of 0 or more")]
Exponent = Annotated[Number, Field(ge=1, description="an exponent of 1 or more")]
Weight = Annotated[Number, Field(ge=0, description="a weight of 0 or more")]
"""Of a loss, or of a term of one."""
Share = Annotated[Number, Field(ge=0, le=1, description="a share in [0,1]")]
ShareBelowOne = Annotated[Number, Field(ge=0, lt=1, description="a share in [0,1)")]
ShareAboveZero = Annotated[Number, Field(gt=0, le=1, description="a share in (0,1]")]
Shares = Annotated[
    ShareBelowOne | Sequence[ShareBelowOne], Field(description="a share in [0,1), or a list of one for each class")
]
InnerShare = Annotated[Number, Field(gt=0, lt=1, description="a share in (0,1)")]
StartEpoch = Annotated[Number, Field(ge=0, description="an epoch of 0 or later")]
"""From which a loss counts; a dry run of a few steps sets it to 0."""

Count = Annotated[Whole, Field(ge=0, description="a whole number of 0 or more")]
PositiveCount = Annotated[Whole, Field(gt=0, description="a whole number above 0")]
Side = Annotated[Whole, Field(ge=0, description="0 (the image's own size) or pixels above 0")]
PixelValue = Annotated[Whole, Field(ge=0, le=255, description="a pixel value 0..255")]
Unsure = Annotated[Whole, Predicate((254, 255).__contains__), Field(description="255 (void) or 254 (unlabelled)")]
"""What a pixel is that no rule is sure of."""
BlockNumbers = Annotated[Sequence[PositiveCount], Field(min_length=1, description="one or more block numbers, from 1")]
Grid = Annotated[PositiveCount | Literal["full"], Field(description="a whole number above 0, or 'full'")]

Scales = Annotated[Sequence[Positive], Field(min_length=1, description="one or more factors above 0")]
"""Of the image's size."""
Distances = Annotated[Sequence[PositiveCount], Field(min_length=1, description="one or more distances above 0")]
"""In pixels or cells."""

OutputStride = Annotated[Whole, Predicate((8, 14, 16, 32).__contains__), Field(description="8, 14, 16 or 32")]
FrozenStages = Annotated[Whole, Field(ge=0, le=5, description="a whole number from 0 to 5")]
"""Of a backbone, counted from the stem: 1 is the stem alone, 5 all of it."""

RANGE_PROBLEMS = frozenset(
    "greater_than greater_than_equal less_than less_than_equal too_short predicate_failed literal_error".split()  # noqa: SIM905
)
"""What pydantic calls a value of the right type that is out of range."""


def description(declared: Any) -> str | None:
    """What a type of this module, or that or None, says that a value must be; None for a type that says nothing."""
    if isinstance(declared, FieldInfo):
        return declared.description or description(declared.annotation)
    infos = [part.description for part in getattr(declared, "__metadata__", ()) if isinstance(part, FieldInfo)]
    if any(infos):
        return infos[-1]
    choices = get_args(declared) if type(None) in get_args(declared) else ()
    return next(filter(None, map(description, choices)), None)


def wanted(problems: Sequence[ErrorDetails], described: str | None) -> str | None:
    """What the range of one option wants where ``problems`` say that it is broken; None where the type is wrong."""
    kinds = {problem["type"] for problem in problems}
    if "finite_number" in kinds:
        return "a finite number"
    return described if kinds & RANGE_PROBLEMS else None


def require(part: str, declared: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Refuse values out of the ranges that a signature declares, for whoever calls a component from Python.

    Args:
        part: whose options they are, for the message.
        declared: a function, or a dataclass, whose annotations say the ranges.
        values: option -> value; those that ``declared`` does not have, or without a range, are not looked at.

    Raises:
        ConfigurationError: names the option, what was expected, and what was found.
    """
    for name, (adapter, described) in _ranges(declared).items():
        if name not in values:
            continue
        try:
            adapter.validate_python(values[name])
        except ValidationError as error:
            if expected := wanted(error.errors(), described):
                raise ConfigurationError(f"{part}.{name}: expected {expected}, found {values[name]!r:.80}.") from None


@cache
def _ranges(declared: Callable[..., Any]) -> dict[str, tuple[TypeAdapter[Any], str]]:
    hints = get_type_hints(declared, include_extras=True)
    described = {name: description(hint) for name, hint in hints.items()}
    return {name: (TypeAdapter(hints[name]), infos) for name, infos in described.items() if infos}
