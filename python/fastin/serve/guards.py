"""What stands between the network and the application: size, origin and pace of a request, headers of every answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import HTMLResponse

from fastin.serve import pages

# The application's own pages run no script at all; they may hold its own picture of a structure in a frame.
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
# View and report pages run their inline script in an origin of their own, with no way to the network.
SCRIPT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; sandbox allow-scripts allow-downloads"
)
# The same inside a page of this application, and of no other.
FRAME_POLICY = SCRIPT_POLICY.replace("frame-ancestors 'none'", "frame-ancestors 'self'")


#: Addresses that compute something: a page of another site must not open them, however it does.
_COMPUTING = ("/analyze", "/structure", "/query")
_MOST_REQUESTS = 64  # at work at a time
_DRAIN_SECONDS = 3.0


class _TooLarge(Exception):
    pass


class _TooSlow(Exception):
    pass


class Guards:
    """ASGI middleware.

    Args:
        app: the application.
        max_bytes: largest body of a request.
        pause_seconds: longest silence inside a body.
        key: what the application's own links carry that come from an origin of their own (the report page); no other
            page can read it.
        body_seconds: for a whole body.
    """

    def __init__(
        self, app: Any, max_bytes: int, pause_seconds: float = 20.0, key: str = "", body_seconds: float = 120.0
    ) -> None:
        self._key = key
        self._app = app
        self._max = max_bytes
        self._pause = pause_seconds
        self._body = body_seconds
        self._at_work = {False: 0, True: 0}  # by whether they have a body: those that send none are never held up

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if refusal is None and self._at_work[has_body] >= _MOST_REQUESTS:
            text = "The server answers too many requests already; try again in a minute."
            refusal = HTMLResponse(pages.message("Busy", text), 503, headers={"retry-after": "10"})
        self._at_work[has_body] += 1
        try:
            await self._answer(scope, receive, send, refusal)
        finally:
            self._at_work[has_body] -= 1

    async def _answer(self, scope: Any, receive: Any, send: Any, refusal: HTMLResponse | None) -> None:
        started = complete = failed = False
        seen = 0
        latest = time.monotonic() + self._body

        async def limited() -> Any:
            nonlocal seen, complete, failed
            if complete:  # after the body only the end of the connection can come, whenever it likes
                return await receive()
            try:
                event = await asyncio.wait_for(receive(), max(0.0, min(self._pause, latest - time.monotonic())))
            except TimeoutError:
                failed = True
                raise _TooSlow from None
            complete = event["type"] != "http.request" or not event.get("more_body", False)
            seen += len(event.get("body", b""))
            if seen > self._max:
                failed = True
                raise _TooLarge
            return event

        async def guarded(event: Any) -> None:
            nonlocal started
            if failed and not started:  # what the application makes of it: the answer is given below
                return
            if event["type"] == "http.response.start":
                started = True
                out = MutableHeaders(scope=event)
                out["x-content-type-options"] = "nosniff"
                # Not "no-referrer": with it a browser sends "Origin: null" with the application's own forms.
                out["referrer-policy"] = "same-origin"
                out["cross-origin-opener-policy"] = "same-origin"
                out["cross-origin-resource-policy"] = "same-origin"
                out["cache-control"] = "no-store"
                out.setdefault("content-security-policy", PAGE_POLICY)
            await send(event)

        if refusal is not None:
            await self._drain(receive)
            await refusal(scope, receive, guarded)
            return
        try:
            await self._app(scope, limited, guarded)
        except _TooLarge:
            if not started:
                await self._drain(receive)
                failed = False
                await self._too_large()(scope, receive, guarded)
        except _TooSlow:
            if started:
                return
            failed = False
            text = "The request did not arrive in time; try again."
            response = HTMLResponse(pages.message("Too slow", text), 408, headers={"connection": "close"})
            await response(scope, receive, guarded)

    async def _drain(self, receive: Any) -> None:
        """Reads on for a while: a client that is still sending would see a broken connection, not the answer."""
        seen, latest = 0, time.monotonic() + _DRAIN_SECONDS
        while seen < 4 * self._max and (left := latest - time.monotonic()) > 0:
            try:
                event = await asyncio.wait_for(receive(), left)
            except TimeoutError:
                return
            seen += len(event.get("body", b""))
            if event["type"] != "http.request" or not event.get("more_body", False):
                return

    def _too_large(self) -> HTMLResponse:
        text = f"The file is larger than {self._max / 1e6:g} MB, the limit of this server."
        return HTMLResponse(pages.message("Too large", text), 413, headers={"connection": "close"})

    def _refusal(self, scope: Any, headers: Headers) -> HTMLResponse | None:
        method = scope["method"]
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            return HTMLResponse(pages.message("Bad request", "bad content-length"), 400)
        if int(length) > self._max:
            return self._too_large()
        # Another site's page must not make this one compute, nor post to it. Browsers say where a request comes from in
        # Sec-Fetch-Site, which no page can set; older ones in Origin alone.
        site = headers.get("sec-fetch-site", "none")
        origin = headers.get("origin")
        if self._is_own_link(scope):
            return None
        computes = scope["path"].rstrip("/") in _COMPUTING or bool(scope.get("query_string"))
        navigates = method == "GET" and headers.get("sec-fetch-mode") == "navigate" and not computes
        if site not in ("same-origin", "none") and not navigates:
            return self._foreign(scope)
        if method in ("GET", "HEAD") or origin is None:
            # A link that was followed carries no Origin; older browsers say in Referer where it stood.
            said = [where for where in (origin, headers.get("referer") if computes else None) if where is not None]
            own = "sec-fetch-site" in headers or all(urlsplit(where).netloc == headers.get("host") for where in said)
            return None if own else self._foreign(scope)
        if origin == "null" and site == "same-origin":  # own page, in a browser that hides where it came from
            return None
        return None if urlsplit(origin).netloc == headers.get("host") else self._foreign(scope)

    def _is_own_link(self, scope: Any) -> bool:
        if not self._key or scope["method"] != "GET" or scope["path"] != "/structure":
            return False
        return secrets.compare_digest(QueryParams(scope["query_string"]).get("key", "").encode(), self._key.encode())

    @staticmethod
    def _foreign(scope: Any) -> HTMLResponse:
        if scope["method"] == "GET" and scope["path"] == "/structure":
            asked = QueryParams(scope["query_string"]).get("id", "")
            return HTMLResponse(pages.confirm_structure(asked), 403)
        text = "Requests from other sites are refused. Open this address in the browser itself, then try again."
        return HTMLResponse(pages.message("Refused", text), 403)
