from __future__ import annotations

import numpy as np
import pytest

from models.structures import UNLABELLED, Supervision
from stages.annotate import AnnotationSource, annotate


def source(id: str = "a") -> AnnotationSource:
    def refuse() -> None:
        raise AssertionError("the stage itself opens no ground truth")

    return AnnotationSource(id, (2, 3), 2, (1,), refuse, refuse)  # type: ignore[arg-type]


def seeds(value: int) -> np.ndarray:
    return np.full((2, 3), value, dtype=np.uint8)


def test_supervision_comes_in_the_order_of_the_samples() -> None:
    made = Supervision(np.array([True, False]), seeds(UNLABELLED))
    assert [id for id, _ in annotate([source("b"), source("a")], lambda _: made)] == ["b", "a"]


@pytest.mark.parametrize(
    "wrong",
    [
        Supervision(np.array([True]), seeds(UNLABELLED)),
        Supervision(np.array([True, False]), seeds(UNLABELLED).T),
        Supervision(np.array([True, False]), seeds(2)),
        Supervision(np.array([True, True]), seeds(3)),
        Supervision(np.array([True, False]), seeds(254), np.zeros((1, 4), np.float32), np.zeros(2, np.int64)),
        Supervision(np.array([True, False]), seeds(254), np.zeros((1, 4), np.float32)),
    ],
    ids=["tags", "shape", "class without tag", "class beyond", "boxes", "boxes without classes"],
)
def test_what_is_no_supervision_of_the_image_is_refused(wrong: Supervision) -> None:
    with pytest.raises(ValueError, match=r"^a: "):
        list(annotate([source()], lambda _: wrong))
