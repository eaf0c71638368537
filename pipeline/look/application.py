"""The pages and pictures of the server, as a Starlette application."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from models.errors import ConfigurationError, Weak2MaskError
from pipeline.datasets.images import MAX_PIXELS
from pipeline.look.desk import Desk
from pipeline.look.drawings import ConflictError, Drawing
from pipeline.look.guard import Guard, Guarded
from pipeline.look.paging import Query

TEMPLATES = Path(__file__).parents[1] / "templates" / "look"
MOST_BYTES = 4 * MAX_PIXELS
"""Of an image that is sent: more than the largest one that is read has, uncompressed."""
MOST_TEXT = 32 << 20
"""Of a drawing."""
KEPT = "private, max-age=600"
"""Pictures of image files; the address is new at every start. Layers and labels change, and are asked for anew."""

Endpoint = Callable[[Request], Any]
Value = TypeVar("Value")


class TooLargeError(Weak2MaskError):
    """A request with more bytes than it may have."""


def application(desk: Desk, guard: Guard) -> Guarded:
    """The whole server, behind its guard."""
    pages = _Pages(desk)
    routes = [
        Route("/", pages.index),
        Route("/assets/{name}", pages.asset),
        Route("/api/overview", pages.overview),
        Route("/api/page", pages.page),
        Route("/api/image", pages.image),
        Route("/api/thumbnail", pages.thumbnail),
        Route("/api/photo", pages.photo),
        Route("/api/layer", pages.layer),
        Route("/api/use", pages.use),
        Route("/api/drawing", pages.save, methods=["PUT"]),
        Route("/api/predict", pages.predict, methods=["POST"]),
    ]
    return Guarded(Starlette(routes=routes), guard)


def _answering(endpoint: Endpoint) -> Endpoint:
    """Errors that a person can act on become JSON with a message; others are shown on the terminal too."""

    @wraps(endpoint)
    async def answer(self: _Pages, request: Request) -> Response:
        try:
            response: Response = await endpoint(self, request)  # type: ignore[call-arg]
        except Weak2MaskError as error:
            return JSONResponse({"error": str(error)}, _status(error), headers={"cache-control": "no-store"})
        except Exception as error:
            traceback.print_exc()
            message = f"unexpected {type(error).__name__}. This is a bug: the terminal shows where."
            return JSONResponse({"error": message}, 500, headers={"cache-control": "no-store"})
        response.headers.setdefault("cache-control", "no-store")
        return response

    return answer  # type: ignore[return-value]


def _status(error: Weak2MaskError) -> int:
    if isinstance(error, ConflictError):
        return 409
    if isinstance(error, TooLargeError):
        return 413
    return 400 if isinstance(error, ConfigurationError) else 422


class _Pages:
    """The endpoints. What reads files runs in threads, so that thumbnails come while a network computes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._assets = {path.name: path for path in TEMPLATES.iterdir() if path.suffix in (".js", ".css", ".svg")}

    @_answering
    async def index(self, request: Request) -> Response:
        return FileResponse(TEMPLATES / "index.html")

    @_answering
    async def asset(self, request: Request) -> Response:
        path = self._assets.get(request.path_params["name"])
        return Response("Not found.\n", 404) if path is None else FileResponse(path)

    @_answering
    async def overview(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._desk.overview))

    @_answering
    async def page(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._desk.page, _text(request, "set"), _query(request)))

    @_answering
    async def image(self, request: Request) -> Response:
        split = request.query_params.get("split")
        return JSONResponse(await run_in_threadpool(self._desk.image, *_which(request), split))

    @_answering
    async def thumbnail(self, request: Request) -> Response:
        content = await run_in_threadpool(self._desk.thumbnail, *_which(request))
        return Response(content, media_type="image/jpeg", headers={"cache-control": KEPT})

    @_answering
    async def photo(self, request: Request) -> Response:
        content = await run_in_threadpool(self._desk.photo, *_which(request))
        return Response(content, media_type="image/jpeg", headers={"cache-control": KEPT})

    @_answering
    async def layer(self, request: Request) -> Response:
        key, part = _text(request, "key"), _text(request, "part")
        asked = (*_which(request), key, part, _number(request, "label", 0))
        content, media_type = await run_in_threadpool(self._desk.layer, *asked)
        return Response(content, media_type=media_type) if content else Response(status_code=204)

    @_answering
    async def use(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._desk.use, _text(request, "set"), _text(request, "split")))

    @_answering
    async def save(self, request: Request) -> Response:
        content = await _body(request, MOST_TEXT)

        def save() -> dict[str, Any]:
            return self._desk.save(*_which(request), _drawing(content))

        return JSONResponse(await run_in_threadpool(save))

    @_answering
    async def predict(self, request: Request) -> Response:
        checkpoint = _text(request, "checkpoint")
        if "set" in request.query_params:
            return JSONResponse(await run_in_threadpool(self._desk.predict, checkpoint, *_which(request)))
        content = await _body(request, MOST_BYTES)
        name = request.query_params.get("name", "image")[:200]
        return JSONResponse(await run_in_threadpool(self._desk.predict_file, checkpoint, name, content))


def _drawing(content: bytes) -> Drawing:
    try:
        return Drawing.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"Expected a drawing, found {first['msg']} at '{place}'.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"Expected a drawing as JSON, found {type(error).__name__}.") from None


def _query(request: Request) -> Query:
    drawn = {"yes": True, "no": False}.get(request.query_params.get("drawn", ""))
    return Query(
        _text(request, "split"),
        at=_number(request, "at", 0),
        back=request.query_params.get("back") == "1",
        count=_number(request, "count", 60),
        tag=_number(request, "tag", 0),
        find=request.query_params.get("find", "")[:200],
        drawn=drawn,
    )


def _which(request: Request) -> tuple[str, str]:
    return _text(request, "set"), _text(request, "id")


def _text(request: Request, name: str) -> str:
    if name not in request.query_params:
        raise ConfigurationError(f"Expected ?{name}= in the address, found none.")
    return str(request.query_params[name])


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise ConfigurationError(f"Expected ?{name}= with a whole number of 0 or more, found '{given[:20]}'.")
    return int(given)


async def _body(request: Request, most: int) -> bytes:
    """The content that was sent. Raises TooLargeError as soon as it is more than ``most`` bytes."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise TooLargeError(f"Expected at most {most >> 20} MiB, found more.")
    return bytes(content)
