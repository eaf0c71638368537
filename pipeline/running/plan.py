"""One run of a plan of stages: which of them have to start, and how each ended. Whoever calls it owns the clock."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from pipeline.compute.bars import CHANNEL
from pipeline.running.at_work import at_work, busy_message, forget_the_dead, stages_made_by
from pipeline.running.graph import Graph, Stage, downstream, nearest_upstream
from pipeline.running.slots import Slots
from pipeline.running.stage_process import StageOutcome, StageProcesses, changed_stages

SPEAKING = {CHANNEL: "lines", "PYTHONUNBUFFERED": "1"}
"""What makes a stage say where it is at once, and in lines."""


class PlanRun:
    """Stages run by DVC, one process each; safe to be used from many threads."""

    def __init__(
        self, graph: Graph, force: bool = False, jobs: int | None = None, forced: Collection[str] = ()
    ) -> None:
        """
        Args:
            graph: the plan (``pipeline.running.graph.plan``).
            force: run every stage of it, changed or not.
            jobs: how many at once; default: as the machine allows (``pipeline.running.slots``).
            forced: stages that run, changed or not, where not every one does.
        """
        self.graph = graph
        self.force = force
        self._forced = frozenset(forced)
        self.waits_for = nearest_upstream(graph)
        self.slots = Slots(jobs)
        self.outcomes: dict[str, StageOutcome] = {}
        self._processes = StageProcesses()
        self._unchanged: set[str] = set()

    def look(self) -> None:
        """Ask DVC which stages nothing has changed for, so that they need no process of their own, and no lock.

        To be called at the start, and again when the stage ``code`` has run: the others depend on what it writes.
        """
        forget_the_dead()
        if not self.force:
            begin = changed(self.graph) | (self._forced - set(self.outcomes))
            self._unchanged = set(self.graph) - downstream(self.graph, begin & set(self.graph))

    def blocked(self, name: str) -> StageOutcome | None:
        """Why a stage cannot run: the first failed stage above it and what it said; None when it can."""
        for above in self.waits_for[name]:
            outcome = self.outcomes.get(above)
            if outcome is not None and outcome.failed:
                message = outcome.message.partition("\n")[0] if outcome.held_by else outcome.message
                cause = message if outcome.state == "blocked" else f"{above} failed: {message}"
                self.outcomes[name] = StageOutcome("blocked", outcome.code, cause)
                return self.outcomes[name]
        return None

    def unchanged(self, name: str) -> StageOutcome | None:
        """How a stage ended that nothing has changed for; None when DVC has to look at it."""
        if name not in self._unchanged:
            return None
        self.outcomes[name] = StageOutcome("cached")
        return self.outcomes[name]

    def run(self, stage: Stage, on_line: Callable[[str], None], device: dict[str, str]) -> StageOutcome:
        """Run one stage in a place that the caller has taken from ``slots``."""
        outcome = self._processes.run(
            stage.address, on_line, SPEAKING | device, self.force or stage.name in self._forced
        )
        if outcome.held_by:
            outcome = replace(outcome, message=busy_message(stages_made_by(self.graph, outcome.held_by)))
        self.outcomes[stage.name] = outcome
        return outcome

    def stop(self) -> None:
        """End what runs, with all its children; nothing starts any more."""
        self.slots.close()
        self._processes.stop()

    @property
    def failures(self) -> dict[str, StageOutcome]:
        """The stages that failed of themselves, in the order of the plan."""
        ended = {name: self.outcomes[name] for name in self.graph if name in self.outcomes}
        return {name: outcome for name, outcome in ended.items() if outcome.failed and outcome.state != "blocked"}

    def summary(self) -> str:
        """One line of counts, and one for each failed stage with what it said."""
        states = [outcome.state for outcome in self.outcomes.values()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return "\n".join([counts, *(f"{name} failed: {outcome.message}" for name, outcome in self.failures.items())])


def changed(graph: Graph) -> set[str]:
    """The stages that are not up to date, or that another command makes now: DVC does not say anything about these."""
    unknown = downstream(graph, set(at_work(graph)))
    names = {stage.address: name for name, stage in graph.items() if name not in unknown}
    return unknown | {names[address] for address in changed_stages(list(names))}
