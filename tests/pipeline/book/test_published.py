from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.book.published import COLUMNS, Published, published


def file_with(**changes: Any) -> dict[str, Any]:
    number = {"value": 48.3, "split": "train", "source": "a README"} | changes
    entry = {"method": "IRN", "paper": "CVPR 2019", "network": "R50", "data": "voc12", "numbers": {"cam": number}}
    return {"data_sets": {"voc12": "VOC 2012"}, "methods": {"irn": entry}}


def test_the_numbers_that_come_with_the_project() -> None:
    """Read when the file is loaded: a range, a split and a source for each number, and a name for its data set."""
    numbers = [(key, column) for key, entry in published().methods.items() for column in entry.numbers]
    assert len(numbers) > 30
    assert {column for _, column in numbers} == set(COLUMNS)
    assert published().methods["irn"].numbers["cam"].value == 48.3
    assert published().data_set("irn") == "VOC 2012"
    assert published().methods["hfpl"].numbers == {}, "no reliable source: empty, not guessed"


@pytest.mark.parametrize("changes", [{"value": 100.1}, {"value": -1}, {"source": ""}, {"source": None}, {"page": 3}])
def test_a_number_without_range_or_source_is_refused(changes: dict[str, Any]) -> None:
    Published.model_validate(file_with())
    with pytest.raises(ValidationError):
        Published.model_validate(file_with(**changes))


def test_a_column_that_the_table_does_not_have_is_refused() -> None:
    broken = file_with()
    broken["methods"]["irn"]["numbers"]["camm"] = broken["methods"]["irn"]["numbers"].pop("cam")
    with pytest.raises(ValidationError, match="camm"):
        Published.model_validate(broken)


def test_every_data_set_has_a_name() -> None:
    broken = file_with()
    broken["methods"]["irn"]["data"] = "voc"
    with pytest.raises(ValidationError, match="irn"):
        Published.model_validate(broken)
