"""Who may ask the server: whoever has its address with the token, from a page of its own.

The address holds a secret that is new at every start, so that another program or page on the machine, which may reach
the port, cannot guess it; no cookie is used. The name in ``Host`` must be one of this machine, since a page elsewhere
can give its own name the address 127.0.0.1 (DNS rebinding). A request that a browser marks as coming from another
origin is refused.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.compute.servers import is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Of every answer."""
OWN = ("same-origin", "none")
"""``Sec-Fetch-Site`` of requests of the page itself, and of an address that a person opened."""


@dataclass(frozen=True)
class Guard:
    """What a request has to have.

    Attributes:
        host: that the server listens at.
        token: the first part of every path.
    """

    host: str
    token: str

    def refusal(self, path: str, headers: dict[str, str]) -> str | None:
        """Why a request is refused; None where it may go on.

        Args:
            path: of the request, decoded.
            headers: by their names in small letters.
        """
        host = headers.get("host", "")
        if not self._known(_name(host)):
            return "This server does not answer to that name. Open the address that the command printed."
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return "Requests from other pages are refused."
        if headers.get("sec-fetch-site", "none") not in OWN:
            return "Requests from other pages are refused. Paste the address into the browser."
        given = path.split("/")[1] if path.startswith("/") else ""
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return (
                "The address lacks its token, or has that of an earlier start. Open the one that the command printed."
            )
        return None

    def _known(self, name: str) -> bool:
        if is_loopback(name):
            return True
        if is_loopback(self.host):
            return False
        return name in (self.host, socket.gethostname()) or _is_address(name)


class Guarded:
    """An application behind a :class:`Guard`, which sees paths without the token."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 where the guard refuses; every answer gets :data:`HEADERS`."""
        from starlette.responses import PlainTextResponse, RedirectResponse

        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._guard.refusal(scope["path"], headers)

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        if refusal is not None:
            await PlainTextResponse(f"{refusal}\n", 403)(scope, receive, send_with_headers)
            return
        if scope["path"] == f"/{self._guard.token}":  # the page's own addresses count from the slash
            await RedirectResponse(f"/{self._guard.token}/")(scope, receive, send_with_headers)
            return
        inner = {**scope, "path": scope["path"].removeprefix(f"/{self._guard.token}")}
        inner.pop("raw_path", None)
        await self._app(inner, receive, send_with_headers)


def _name(host: str) -> str:
    """The name of a ``Host`` header without its port, small letters; of [::1]:80 "::1"."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
