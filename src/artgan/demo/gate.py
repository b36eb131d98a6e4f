"""Who may use the page: checked before Gradio sees a request.

A page on loopback is reached by any page that the browser has open, so three things are checked: the name by which the
page is called (against DNS rebinding), the page that calls (against cross-origin requests), and the token.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artgan.demo.store import Store
from artgan.errors import ArtganError

MOST_SENT = 512 * 2**20
"""Bytes of one request with pictures."""

_MOST_SAID = 2**20  # bytes of any other request
_MOST_TOKEN = 4096  # bytes of the form with the token

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'; "
    "base-uri 'self'; form-action 'self'"
)
"""Browsers then load nothing from elsewhere, and show the page in no other page."""

_SIGN_IN = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>artgan</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0; }}
form {{ max-width: 22rem; padding: 1rem; }}
input, button {{ font: inherit; padding: .6rem .8rem; width: 100%; box-sizing: border-box; margin-top: .6rem; }}
</style>
<form method="post" action="/">
<h1>artgan</h1><label for="token">{said}</label>
<input id="token" name="token" type="password" autocomplete="current-password" autofocus required>
<button>Open the page</button>
</form>
"""


class Hosts:
    """The names by which the page may be called.

    An address is always right where the page can be reached by it, as only names can be made to point elsewhere.

    Args:
        bound: the name or address that the page listens on.
    """

    def __init__(self, bound: str) -> None:
        self.on_loopback = is_loopback(bound)
        self._names = {"localhost", bound.lower()}
        if not self.on_loopback:
            self._names.add(socket.gethostname().lower())

    def allow(self, host: str) -> bool:
        """Whether a request's header ``Host`` is one of them, with any port."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.on_loopback


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on this name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """ASGI middleware that answers what it refuses with one sentence.

    Args:
        app: what is behind it.
        hosts: the names by which the page may be called.
        port: the page's, in the name of its cookie, as cookies do not distinguish ports.
        token: what a visitor must know; None if nobody is asked.
        store: where uploads go.
    """

    def __init__(self, app: ASGIApp, *, hosts: Hosts, port: int, token: str | None, store: Store) -> None:
        self._app = app
        self._hosts = hosts
        self._token = token
        self._cookie = f"artgan-{port}"
        self._pass = secrets.token_urlsafe(32)  # in place of the token, and of no use after the page has ended
        self._store = store
        self._uploading = 0  # requests at the moment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = self._refusal(scope) or await self._identify(scope, receive)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        if answer is not None:
            await answer(scope, receive, send_guarded)
            return
        self._uploading += _takes_pictures(scope["path"])
        try:
            await self._app(scope, receive, send_guarded)
        finally:
            if _takes_pictures(scope["path"]):
                self._uploading -= 1
                if not self._uploading:
                    self._store.remove_partial()

    def _refusal(self, scope: Scope) -> Response | None:
        """What is wrong with a request, whoever sends it."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._hosts.allow(host):
            return _plain(403, f"this page is not called {host[:200]!r}; use the address that artgan printed")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        foreign = site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate"
        if foreign or (origin is not None and urlsplit(origin).netloc.lower() != host.lower()):
            return _plain(403, "another page may not use this one")
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        length = headers.get("content-length", "")
        if not length.isdecimal():
            if "transfer-encoding" in headers:
                return _plain(411, "say how long the request is, by a header Content-Length")
            length = "0"
        pictures = _takes_pictures(scope["path"])
        most = MOST_SENT if pictures else _MOST_SAID
        if int(length) > most:
            return _plain(413, f"this is more than the limit of {most // 2**20} MB per request; send fewer pictures")
        if pictures:
            try:
                self._store.check_room(int(length))
            except ArtganError as error:
                return _plain(507, str(error))
        return None

    async def _identify(self, scope: Scope, receive: Receive) -> Response | None:
        """None for those who know the token, or have shown it before; else the way in."""
        if self._token is None:
            return None
        headers = Headers(scope=scope)
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(shown.strip().encode("latin-1")):
            return None
        if self._has_pass(headers.get("cookie", "")):
            return self._without_token(scope)
        if scope["path"] != "/":
            return _plain(401, "this page asks for its token: send a header Authorization: Bearer TOKEN")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.get("token")
        if scope["method"] == "POST":
            given = dict(parse_qsl((await _body(receive)).decode("latin-1"))).get("token", "")
        if given is None:
            return _sign_in("This page asks for its token.")
        if not self._is_token(given.encode()):
            return _sign_in("That is not the token of this page.")
        answer = RedirectResponse("/", 303)
        # Lax, not strict: with the latter, a link to the page in a message would lead to the question for the token.
        answer.set_cookie(self._cookie, self._pass, httponly=True, samesite="lax")
        return answer

    def _without_token(self, scope: Scope) -> Response | None:
        """For those who are in: the page's address without a token, or None if it has none."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        rest = [(key, value) for key, value in query if key != "token"]
        if scope["path"] != "/" or (rest == query and scope["method"] != "POST"):
            return None
        return RedirectResponse(f"/?{urlencode(rest)}" if rest else "/", 303)

    def _is_token(self, given: bytes) -> bool:
        return hmac.compare_digest(given, (self._token or "").encode())

    def _has_pass(self, cookies: str) -> bool:
        try:
            found = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._pass.encode())


def _takes_pictures(path: str) -> bool:
    return path.rstrip("/").endswith("/upload") or path == "/paint"


async def _body(receive: Receive) -> bytes:
    """A short request's content; what is too long to be a token is cut."""
    body = b""
    while len(body) <= _MOST_TOKEN:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body[:_MOST_TOKEN]


def _plain(status: int, said: str) -> Response:
    return PlainTextResponse(f"{said}\n", status)


def _sign_in(said: str) -> Response:
    return HTMLResponse(_SIGN_IN.format(said=html.escape(said)), 401)
