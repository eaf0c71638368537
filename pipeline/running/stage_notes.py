"""What a stage leaves for people to look at, as Markdown: its pictures, its scores, its MLflow run."""

from __future__ import annotations

import base64
import io
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from models.errors import DataError, Weak2MaskError
from models.structures import Image
from pipeline.book.artifacts import SCORED
from pipeline.book.params import Book
from pipeline.running.graph import FIRST, Stage
from pipeline.tracking.log import enabled
from pipeline.tracking.runs import RecordedStage, RunFinder, locked_outputs

PICTURE_WIDTH = 560
PICTURE_QUALITY = 65

MADE = {
    "ran": "made by this run",
    "cached": "up to date: nothing that it depends on has changed",
    "restored": "restored from DVC's cache: it was made by an earlier run",
}


class Notes:
    """Writes the notes of a book's stages; MLflow, which takes seconds to import, is asked from the side."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._lock = Lock()  # of MLflow's client, and of matplotlib's and Pillow's first use
        self._pool = ThreadPoolExecutor(1, "mlflow")
        self._finder: Future[RunFinder] | None = self._pool.submit(RunFinder) if enabled() else None

    def of(self, stage: Stage) -> str:
        """The note of a stage that has ended well; empty when there is nothing to show."""
        with self._lock:
            return "\n\n".join(filter(None, [self._run(stage), self._scores(stage), self._picture(stage)]))

    def results(self) -> str:
        """The book's results table; empty when nothing has been evaluated."""
        from pipeline.results.tables.results import book_table, box_table

        tables = (results(self._book) for results in (book_table, box_table))
        return "\n".join(results.markdown() for results in tables if results.cells)

    def close(self) -> None:
        """Let the line to MLflow go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, stage: Stage) -> str:
        if self._finder is None or stage.name == FIRST:  # which is never recorded, and all others wait for it
            return ""
        try:
            outs = locked_outputs(Path(self._book.book.path) / "dvc.lock").get(stage.name, [])
            recorded: RecordedStage = self._finder.result().find(stage.name, outs)
        except Weak2MaskError as error:  # the pictures can be looked at without it
            return f"No MLflow run to link to: {error}"
        return f"[MLflow run {recorded.run_id}]({recorded.url}) made `{recorded.output}`" if recorded.run_id else ""

    def _scores(self, stage: Stage) -> str:
        from pipeline.results.tables.results import book_table, box_table
        from pipeline.results.tables.text import NONE, TextTable

        verb, _, name = stage.name.partition("@")
        if verb not in SCORED:
            return ""
        table = book_table(self._book) if verb == "evaluate" else box_table(self._book)
        for row in table.cells:
            if row[0].rstrip("†") == name:
                shown = [index for index, cell in enumerate(row) if cell != NONE]
                columns, cells = (tuple(line[index] for index in shown) for line in (table.columns, row))
                return TextTable("", columns, (cells,)).markdown()
        return ""

    def _picture(self, stage: Stage) -> str:
        from pipeline.pictures.gallery import gallery_sheet

        verb, _, name = stage.name.partition("@")
        try:
            sheet = gallery_sheet(self._book, verb, name)
        except DataError:  # an empty store: nothing to look at
            return ""
        return f"![samples of {stage.name}]({data_uri(sheet)})" if sheet is not None else ""


def data_uri(picture: Image, width: int = PICTURE_WIDTH) -> str:
    """A picture as text that a browser shows, at most ``width`` wide, a few dozen kilobytes."""
    from PIL import Image as Pictures

    shown = Pictures.fromarray(picture)
    if shown.width > width:
        shown = shown.resize((width, round(shown.height * width / shown.width)), Pictures.Resampling.LANCZOS)
    encoded = io.BytesIO()
    shown.save(encoded, "JPEG", quality=PICTURE_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
