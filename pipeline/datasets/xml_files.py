"""XML from outside: parsed once nothing in it can grow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from models.errors import DataError
from pipeline.datasets.regular import read_regular
from pipeline.datasets.tables import cut


class EntitiesError(DataError):
    """An XML file defines entities."""


def read_xml(path: Path, expected: str) -> ElementTree.Element:
    """The root of an XML file that defines no entities: no tool writes any, and they can make a small file a huge one.

    Args:
        path: of the file.
        expected: what should be there, for the messages.

    Raises:
        EntitiesError: it defines some, in whatever encoding.
        DataError: no such file, or no XML.
    """
    try:
        content = read_regular(path)
        if _defines_entities(content):
            raise EntitiesError(f"{path}: expected {expected}, found one that defines entities. Remove them.")
        return ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError, expat.ExpatError, ValueError, LookupError) as error:
        raise DataError(f"{path}: expected {expected}, found {cut(str(error))}.") from None


class _EntityError(Exception):
    """An entity is defined."""


class _BegunError(Exception):
    """The root element has begun, behind which no entity is defined."""


def _defines_entities(content: bytes) -> bool:
    """Whether the lines before the root element define any, as the parser sees them; raises ``expat.ExpatError``."""
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _raiser(_EntityError)
    parser.StartElementHandler = _raiser(_BegunError)
    try:
        parser.Parse(content, True)
    except _EntityError:
        return True
    except _BegunError:
        pass
    return False


def _raiser(kind: type[Exception]) -> Callable[..., None]:
    def handler(*_: object) -> None:
        raise kind

    return handler
