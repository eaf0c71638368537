"""Types of options in words, and values as YAML has them."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from models.options import description

PLAIN = {str: "text", bool: "true or false", int: "whole number", float: "number", Any: "anything", type(None): "null"}
BOUNDS = ((Gt, "gt", "above"), (Ge, "ge", "from"), (Lt, "lt", "below"), (Le, "le", "up to"))


def in_words(declared: Any) -> str:
    """What a value of an annotation, or of a pydantic field, must be: ``share in [0,1]``, ``list of text``, ..."""
    if isinstance(declared, FieldInfo):
        annotation, metadata = declared.annotation, declared.metadata
    elif get_origin(declared) is typing.Annotated:
        annotation, *metadata = get_args(declared)
    else:
        return _kind(declared)
    if described := description(declared):
        words = re.sub(r"^an? ", "", described)
        return words + (" or null" if type(None) in get_args(annotation) else "")
    return _kind(annotation) + _bounds(metadata)


def _kind(annotation: Any) -> str:
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return in_words(annotation)
    if origin is Literal:
        return ", ".join(f"`{as_yaml(choice)}`" for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(in_words(one) for one in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"[{', '.join(in_words(one) for one in arguments)}]"
    if origin in (list, tuple, Sequence):
        return f"list of {_listed(in_words(arguments[0]))}"
    if origin in (dict, Mapping):
        return "options" if arguments[1] is Any else f"mapping of names to {_listed(in_words(arguments[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys, below"
    return getattr(annotation, "__name__", str(annotation))


def _listed(words: str) -> str:
    return f"({words})" if " or " in words or words.startswith("list") else words


def _bounds(metadata: Sequence[Any]) -> str:
    words = [
        f" {word} {getattr(one, sign)}" for one in metadata for kind, sign, word in BOUNDS if isinstance(one, kind)
    ]
    filled = any(isinstance(one, MinLen) and one.min_length for one in metadata)
    return "".join(words) + (", not empty" if filled else "")


def as_yaml(value: Any) -> str:
    """A default as YAML has it, in one line."""
    if value is PydanticUndefined:
        return ""
    if isinstance(value, str):
        return value if value and value.replace("_", "").replace(".", "").isalnum() else json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {as_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    return f"{value:g}" if isinstance(value, float) and value != int(value) else json.dumps(value)
