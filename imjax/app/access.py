"""Who may talk to the page's server: its own page, and from other machines whoever has the token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer that does not set its own."""


def make_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether an address to bind can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class AccessControl:
    """Refuses what does not come from the page itself.

    *Host*: a page elsewhere can make its own name lead to this machine (DNS rebinding), but cannot make the
    browser send another name. *Origin*: it can make the browser send forms here, but they name where they
    come from. *Token*: anybody in the network can reach another address than loopback.

    Args:
        app: what answers.
        host: the address that is bound.
        port: the port, for the cookie's name: cookies are shared by the ports of a machine.
        token: asked for once, in the first address; empty: none is needed.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, token: str):
        self._app, self._token, self._cookie = app, token, f"imjax-{port}"
        self._local = is_loopback(host)
        own = () if self._local else (host, socket.gethostname(), socket.getfqdn())
        self._names = {name.lower() for name in ("localhost", *own)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._refuse(scope, headers)
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
        else:
            await answer(scope, receive, _with_headers(send))

    def _refuse(self, scope: Scope, headers: Headers) -> PlainTextResponse | RedirectResponse | None:
        host = headers.get("host", "")
        if not self._is_own_name(host):
            return PlainTextResponse("not a name of this server", 421)
        if scope["method"] not in SAFE and headers.get("origin", "") not in (
            f"http://{host}",
            f"https://{host}",
        ):
            return PlainTextResponse("only the page itself may write", 403)
        if not self._token or self._is_same(self._read_cookie(headers)):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["method"] == "GET" and scope["path"] == "/" and self._is_same(query.pop("token", [""])[0]):
            # The token leaves the address, which lands in histories and on screens.
            rest = f"?{urlencode(query, doseq=True)}" if query else ""
            answer = RedirectResponse(f"/{rest}", 303)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
            return answer
        return PlainTextResponse("open the address that imjax app has printed, with its token", 401)

    def _is_own_name(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        # A number is no name that could be made to lead elsewhere.
        return not self._local or address.is_loopback

    def _is_same(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(errors="replace"), self._token.encode())

    def _read_cookie(self, headers: Headers) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel else ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
