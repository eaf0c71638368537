"""What the binders share."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import DataError
from pipeline.binders.common import Workspace
from pipeline.params import load_book

ROOT = Path(__file__).parent.parent.parent


def test_an_input_that_has_not_been_made_is_named(tmp_path: Path) -> None:
    here = Workspace(load_book(ROOT), "export_cams", "cam")
    with pytest.raises(DataError, match=r"export_cams\.cam needs .*classifier, found nothing there"):
        here.fingerprint(tmp_path / "classifier")
