"""Which images of a split the gallery shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.errors import ConfigurationError, DataError, closest
from pipeline.book.params import Book
from pipeline.results.report.scores import split_scores
from pipeline.results.report.sources import Column, Judge

Pick = Literal["even", "worst", "best", "both"]


@dataclass(frozen=True)
class Choice:
    """How many images of each split, and which.

    Attributes:
        images: of each split, at least 1.
        pick: "even" takes them evenly spaced; "worst", "best" and "both" by the mean IoU of each image.
        by: the evaluation that judges; None takes the last of each split that is not the bound.

    Raises:
        ConfigurationError: no image at all.
    """

    images: int = 24
    pick: Pick = "even"
    by: str | None = None

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ConfigurationError(f"--images: expected 1 or more, found {self.images}.")


def default_judges(book: Book, columns: Sequence[Column], judges: Sequence[Judge], by: str | None) -> dict[str, Judge]:
    """The evaluation that sorts the images of each split ("DATA/SPLIT"), where there is one.

    Raises:
        ConfigurationError: ``by`` is no evaluation of the book.
        DataError: ``by`` has not been made.
    """
    if by is not None and by not in book.evaluate:
        raise ConfigurationError(f"{book.book.params} has no evaluation '{by}'.{closest(by, book.evaluate)}")
    if by is not None and by not in {judge.name for judge in judges}:
        raise DataError(f"The evaluation '{by}' has not been made. Run it: python -m pipeline run evaluate@{by}")
    place = {column.key: f"{column.data}/{column.split}" for column in columns}
    ranked = sorted(judges, key=lambda judge: (judge.name == by, judge.name != book.table.bound))
    return {place[judge.column]: judge for judge in ranked}


def choose(ids: Sequence[str], choice: Choice, scores: Mapping[str, float]) -> list[str]:
    """The chosen ids, in the order of ``ids``. Without scores they are evenly spaced."""
    judged = sorted((id for id in ids if id in scores), key=lambda id: scores[id])
    if choice.pick == "even" or not judged:
        count = min(choice.images, len(ids))
        return [ids[k * len(ids) // count] for k in range(count)]
    worst = {"worst": choice.images, "best": 0, "both": -(-choice.images // 2)}[choice.pick]
    best = min(choice.images, len(judged)) - min(worst, len(judged))
    taken = {*judged[:worst], *judged[len(judged) - best :]}
    return [id for id in ids if id in taken]


def chosen_images(
    book: Book,
    columns: Sequence[Column],
    judges: Mapping[str, Judge],
    choice: Choice,
    splits: Mapping[str, Sequence[str]],
) -> list[tuple[str, str]]:
    """("DATA/SPLIT", id) of every image that the gallery shows, for each split that has a column.

    Raises:
        DataError: the choice is by IoU and nothing has been evaluated.
    """
    if choice.pick != "even" and not judges:
        raise DataError(
            f"--pick {choice.pick} needs an evaluation of this book, found none. Run one, or use --pick even."
        )
    by_key = {column.key: column for column in columns}
    chosen = []
    for place, ids in splits.items():
        judge = judges.get(place)
        judged = choice.pick != "even" and judge is not None
        scores = split_scores(book.book.work, by_key[judge.column], judge) if judged and judge else {}
        chosen += [(place, id) for id in choose(ids, choice, scores)]
    return chosen
