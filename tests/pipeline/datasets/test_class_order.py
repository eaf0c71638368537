"""Made pairs of tags and mask values, small enough to check by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from pipeline.datasets.class_order import Labelled, MaskValues, explanation, order_notices, values_hint

NAMES = ("cat", "dog", "owl")


def labelled(pairs: Iterable[tuple[set[int], set[int]]]) -> list[Labelled]:
    return [Labelled(f"s{k}", frozenset(tags), frozenset(values)) for k, (tags, values) in enumerate(pairs)]


def text(names: tuple[str, ...], pairs: Iterable[tuple[set[int], set[int]]], option: str = "classes") -> str:
    notices = list(order_notices(names, MaskValues(0, tuple(range(1, len(names) + 1))), labelled(pairs), option))
    return " ".join(notice.text for notice in notices)


TAGS = [{1}, {2}, {3}, {1, 2}, {2, 3}, {1}, {2}, set()]


def test_agreement_says_nothing() -> None:
    assert text(NAMES, [(tags, {0, *tags, 255}) for tags in TAGS]) == ""


def test_another_order_is_written_out() -> None:
    turned = {1: 2, 2: 3, 3: 1}  # the masks have owl 1, cat 2, dog 3
    message = text(NAMES, [(tags, {0} | {turned[c] for c in tags}) for tags in TAGS])
    assert "Tags and masks differ for 7 of 8 images (s0, s1, s2 and 4 more)" in message
    assert "tagged, but not in the mask: dog 2, cat 3" not in message  # the most frequent comes first
    assert "`classes: [owl, cat, dog]`" in message


def test_shift_by_one_with_the_background_as_one() -> None:
    message = text(NAMES, [(tags, {1} | {c + 1 for c in tags}) for tags in TAGS])
    assert "with 1 as the background" in message
    assert "`mask_values: {background: 1, cat: 2, dog: 3, owl: 4}`" in message


def test_masks_without_background() -> None:
    message = text(NAMES, [(tags, {c - 1 for c in tags}) for tags in TAGS])
    assert "`mask_values: {cat: 0, dog: 1, owl: 2}`" in message
    assert "as masks without background" in message


@pytest.mark.parametrize("tagged", [[{1}] * 5, [{1}, set(), {1}, {1}]])
def test_a_single_class_of_0_and_255(tagged: list[set[int]]) -> None:
    message = text(("crack",), [(tags, {0, 255} if tags else {0}) for tags in tagged])
    assert "with 255 as the class, not as void" in message
    assert "`mask_values: {crack: 255}`" in message


def test_values_of_another_palette() -> None:
    colours = {1: 60, 2: 7, 3: 133}
    message = text(NAMES, [(tags, {0} | {colours[c] for c in tags}) for tags in TAGS])
    assert "`mask_values: {cat: 60, dog: 7, owl: 133}`" in message


def test_no_claim_where_the_images_leave_a_doubt() -> None:
    both = [({1, 2}, {0, 1, 2})] * 6
    assert text(("cat", "dog"), both) == ""
    message = text(("cat", "dog"), [*both, ({1}, {0, 1, 2}), ({2}, {0, 1, 2})])
    assert "in the mask, but not tagged: cat 1, dog 1" in message
    assert "They agree" not in message


def test_a_few_differences_are_usual() -> None:
    sound = [(tags, {0, *tags}) for tags in TAGS] * 10
    message = text(NAMES, [*sound, ({1}, {0})])
    assert "Tags and masks differ for 1 of 81 images (s80): tagged, but not in the mask: cat 1." in message
    assert "usual" in message


def test_noise_does_not_hide_an_exchange() -> None:
    swap = {1: 2, 2: 1, 3: 3}
    pairs = [(tags, {0} | {swap[c] for c in tags}) for tags in TAGS] * 4
    message = text(NAMES, [*pairs, ({1}, {0})])  # one object that is hidden
    assert "`classes: [dog, cat, owl]`" in message


def test_more_values_than_classes_and_fewer() -> None:
    images = labelled([({1}, {0, 1}), ({2}, {0, 1})])
    assert explanation(2, MaskValues(0, (1, 2)), images) is None
    assert explanation(1, MaskValues(0, (1,)), labelled([({1}, {0, 4, 9}), (set(), {0, 9})])) == MaskValues(0, (4,))


def test_readers_without_the_options_are_told_to_renumber() -> None:
    assert "renumber them" in text(("cat", "dog"), [({1}, {0, 2}), ({2}, {0, 1})] * 3, option="")
    assert "`names: [dog, cat]` among" in text(("cat", "dog"), [({1}, {0, 2}), ({2}, {0, 1})] * 3, option="names")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda tags: {0, 255}, "The masks hold 0 and 255 alone, which is void (no class), and cannot tell 3 classes"),
        (lambda tags: {0}, "The masks are empty: they hold the value 0 alone"),
        (lambda tags: {0, 1}, "The masks hold one value alone beside the background, 1, and cannot tell 3 classes"),
    ],
)
def test_masks_that_cannot_tell_classes_are_named(value: Callable[[set[int]], set[int]], message: str) -> None:
    assert message in text(NAMES, [(tags, value(tags)) for tags in TAGS])


def test_values_without_tags() -> None:
    today = MaskValues(0, (1, 2, 3))
    assert values_hint(NAMES, today, 3, (0, 1, 2, 3, 255)) == ""
    assert values_hint(NAMES, today, 20, (0, 1, 2, 3, 20, 255)) == ""  # of a class that is not kept
    assert "`mask_values: {cat: 85, dog: 170, owl: 255}`" in values_hint(NAMES, today, 3, (0, 85, 170, 255))
    assert "{cat: 10, ...}" in values_hint(NAMES, today, 3, (0, 10, 20))
    assert "`mask_values: {crack: 255}`" in values_hint(("crack",), MaskValues(0, (1,)), 1, (0, 255))
