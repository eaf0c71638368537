"""Any value in any place of a JSON, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NUMBER = st.one_of(
    st.integers(-3, 30),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.sampled_from(["1", "2.0", 1.0, 2.0, 1e308, 10**400, "9" * 40]),
)
JSON = st.recursive(NUMBER, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(max_size=5), inner)))
VALUE = st.one_of(
    NUMBER,
    JSON,
    st.lists(NUMBER, min_size=4, max_size=8),
    st.lists(st.lists(NUMBER, min_size=2, max_size=8), max_size=3),
    st.sampled_from(["images\\b.png", "../c.png", "http://[x/a.png", "a\0.png", "\ud800", "a\n.png", "..", " "]),
    st.fixed_dictionaries({"counts": st.one_of(st.lists(NUMBER), st.text(max_size=9), st.just("`" * 30))}),
)


def places_in(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value of a JSON, by keys and positions."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(found for key, one in inner for found in places_in(one, (*way, key)))]


def replaced(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    if not way:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = replaced(copy[way[0]], way[1:], new)
    return copy
