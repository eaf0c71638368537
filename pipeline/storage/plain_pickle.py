"""The ground of readers of pickles from outside, which make nothing but what they name themselves."""

from __future__ import annotations

import pickle
import struct
from typing import Any, ClassVar


class PlainUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Unpickles in Python, not in C: the one in C makes room for as many objects as a file claims to have.

    Whoever derives from it says in ``find_class`` which names a file may use. Keys of dicts are texts and numbers, and
    there are no sets: 40 tuples, each of which holds the one before it twice, take hours to hash.
    """

    def _set_item(self: Any) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self.stack[-1][_plain(key)] = value

    def _set_items(self: Any) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][_plain(key)] = value

    def _dict(self: Any) -> None:
        items = self.pop_mark()
        self.append({_plain(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def _byte_array(self: Any) -> None:
        """Reads before it makes room: ten bytes of a file can ask for 64 GB."""
        (length,) = struct.unpack("<Q", self.read(8))
        content = self.read(length)
        if len(content) < length:
            raise pickle.UnpicklingError("a byte array that breaks off")
        self.append(bytearray(content))

    def _refused(self: Any) -> None:
        raise pickle.UnpicklingError("a set")

    dispatch: ClassVar[Any] = {
        **pickle._Unpickler.dispatch,  # type: ignore[attr-defined]
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dict,
        pickle.BYTEARRAY8[0]: _byte_array,
        **dict.fromkeys((pickle.EMPTY_SET[0], pickle.ADDITEMS[0], pickle.FROZENSET[0]), _refused),
    }


def _plain(key: Any) -> Any:
    if not isinstance(key, str | bytes | int | float):
        raise pickle.UnpicklingError(f"a key of type {type(key).__name__}")
    return key
