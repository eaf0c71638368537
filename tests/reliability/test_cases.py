"""The first trials of every case. A failure names the command that makes the trial again, alone."""

from __future__ import annotations

import pytest

from tests.reliability.frame import cases, tried

pytestmark = pytest.mark.slow
QUICK = [(name, number) for name, case in cases().items() for number in range(case.quick)]


@pytest.mark.parametrize(("name", "number"), QUICK)
def test_the_project_holds(name: str, number: int) -> None:
    outcome = tried(cases()[name], number)
    assert not outcome.problem, f"python -m tests.reliability {name} --trial {number}\n{outcome.problem}"
