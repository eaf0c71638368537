"""From the outputs that DVC knows back to the MLflow runs that made them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.errors import DataError, Weak2MaskError
from pipeline.recorder import OUTPUT_TAG, connect
from pipeline.tracking import store_uri


@dataclass(frozen=True)
class RecordedStage:
    """A stage of dvc.lock, one of its outputs, and the MLflow run that made it, or None."""

    stage: str
    output: str
    md5: str
    run_id: str | None


def find_runs(lock: Path) -> list[RecordedStage]:
    """Every stage of a ``dvc.lock`` with the newest run that made exactly its output: also when DVC restored it.

    Raises:
        DataError: no such file.
        Weak2MaskError: MLflow does not answer.
    """
    if not lock.is_file():
        raise DataError(f"{lock}: expected DVC's record of finished stages, found nothing. Remedy: `dvc repro` first.")
    stages = (yaml.safe_load(lock.read_text()) or {}).get("stages", {})
    client = _client()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [_find(client, experiments, stage, entry.get("outs", [])) for stage, entry in stages.items()]


def _client() -> Any:
    try:
        return connect()
    except Exception as error:  # MLflow's own, the database's or the network's
        reason = " ".join(str(error).split())[:300]
        raise Weak2MaskError(
            f"MLflow at {store_uri()} does not answer: {reason}\n"
            "Remedy: start that server, or unset MLFLOW_TRACKING_URI to read mlflow.db."
        ) from None


def _find(client: Any, experiments: list[str], stage: str, outs: list[dict[str, Any]]) -> RecordedStage:
    for out in outs:
        query = f"tags.`{OUTPUT_TAG}{out['path']}` = '{out['md5']}'"
        runs = client.search_runs(experiments, query, max_results=1, order_by=["attributes.start_time DESC"])
        if runs:
            return RecordedStage(stage, out["path"], out["md5"], runs[0].info.run_id)
    first = outs[0] if outs else {"path": "", "md5": ""}
    return RecordedStage(stage, first["path"], first["md5"], None)
