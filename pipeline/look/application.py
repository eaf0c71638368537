"""The pages and pictures of the server, as a Starlette application."""

from __future__ import annotations

import json
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

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
from pipeline.look.pictures import JPEG

TEMPLATES = Path(__file__).parents[1] / "templates" / "look"
MOST_BYTES = 4 * MAX_PIXELS
"""Of an image that is sent: more than the largest one that is read has, uncompressed."""
MOST_TEXT = 32 << 20
"""Of a drawing."""
KEPT = "private, max-age=600"
"""Pictures of image files; the address is new at every start. Layers and labels change, and are asked for anew."""

Work = Callable[[Desk, Request, bytes], Response]
"""Answers a request from what is behind the page; the bytes are the content that was sent."""


class TooLargeError(Weak2MaskError):
    """A request with more bytes than it may have."""


def application(desk: Desk, guard: Guard) -> Guarded:
    """The whole server, behind its guard."""
    reads: dict[str, Work] = {
        "/": _index,
        "/assets/{name}": _asset,
        "/api/overview": _overview,
        "/api/page": _page,
        "/api/image": _image,
        "/api/thumbnail": _thumbnail,
        "/api/photo": _photo,
        "/api/layer": _layer,
        "/api/use": _use,
    }
    routes = [
        *(Route(path, _endpoint(desk, work)) for path, work in reads.items()),
        Route("/api/drawing", _endpoint(desk, _save, MOST_TEXT), methods=["PUT"]),
        Route("/api/predict", _endpoint(desk, _predict, MOST_BYTES), methods=["POST"]),
    ]
    return Guarded(Starlette(routes=routes), guard)


def _endpoint(desk: Desk, work: Work, most: int = 0) -> Callable[[Request], Awaitable[Response]]:
    """Work as Starlette calls it, in a thread, so that thumbnails come while a network computes.

    Errors that a person can act on become JSON with a message; others are shown on the terminal too.

    Args:
        most: bytes of content that are read; 0 for none.
    """

    async def answer(request: Request) -> Response:
        try:
            content = await _body(request, most) if most else b""
            response = await run_in_threadpool(work, desk, request, content)
        except Weak2MaskError as error:
            response = JSONResponse({"error": str(error)}, _status(error))
        except Exception as error:
            traceback.print_exc()
            message = f"unexpected {type(error).__name__}. This is a bug: the terminal shows where."
            response = JSONResponse({"error": message}, 500)
        response.headers.setdefault("cache-control", "no-store")
        return response

    return answer


def _status(error: Weak2MaskError) -> int:
    if isinstance(error, ConflictError):
        return 409
    if isinstance(error, TooLargeError):
        return 413
    return 400 if isinstance(error, ConfigurationError) else 422


def _index(desk: Desk, request: Request, content: bytes) -> Response:
    return FileResponse(TEMPLATES / "index.html")


def _asset(desk: Desk, request: Request, content: bytes) -> Response:
    files = {path.name: path for path in TEMPLATES.iterdir() if path.suffix in (".js", ".css")}
    path = files.get(request.path_params["name"])
    return Response("Not found.\n", 404) if path is None else FileResponse(path)


def _overview(desk: Desk, request: Request, content: bytes) -> Response:
    return JSONResponse(desk.overview())


def _page(desk: Desk, request: Request, content: bytes) -> Response:
    return JSONResponse(desk.page(_text(request, "set"), _query(request)))


def _image(desk: Desk, request: Request, content: bytes) -> Response:
    return JSONResponse(desk.image(*_which(request), request.query_params.get("split")))


def _thumbnail(desk: Desk, request: Request, content: bytes) -> Response:
    return Response(desk.thumbnail(*_which(request)), media_type=JPEG, headers={"cache-control": KEPT})


def _photo(desk: Desk, request: Request, content: bytes) -> Response:
    whole = request.query_params.get("whole") == "1"
    return Response(desk.photo(*_which(request), whole), media_type=JPEG, headers={"cache-control": KEPT})


def _layer(desk: Desk, request: Request, content: bytes) -> Response:
    key, part = _text(request, "key"), _text(request, "part")
    picture, media_type = desk.layer(*_which(request), key, part, _number(request, "label", 0))
    return Response(picture, media_type=media_type) if picture else Response(status_code=204)


def _use(desk: Desk, request: Request, content: bytes) -> Response:
    return JSONResponse(desk.use(_text(request, "set"), _text(request, "split")))


def _save(desk: Desk, request: Request, content: bytes) -> Response:
    return JSONResponse(desk.save(*_which(request), _drawing(content), request.query_params.get("split")))


def _predict(desk: Desk, request: Request, content: bytes) -> Response:
    checkpoint = _text(request, "checkpoint")
    if "set" in request.query_params:
        return JSONResponse(desk.predict(checkpoint, *_which(request)))
    name = request.query_params.get("name", "image")[:200]
    return JSONResponse(desk.predict_file(checkpoint, name, content))


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
