"""What stands between the network and the application: size of a request, its origin, headers of every answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
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


class _TooLarge(Exception):
    pass


class Guards:
    """ASGI middleware.

    Args:
        app: the application.
        max_bytes: largest body of a request.
    """

    def __init__(self, app: Any, max_bytes: int) -> None:
        self._app = app
        self._max = max_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        started = False
        seen = 0

        async def limited() -> Any:
            nonlocal seen
            event = await receive()
            seen += len(event.get("body", b""))
            if seen > self._max:
                raise _TooLarge
            return event

        async def guarded(event: Any) -> None:
            nonlocal started
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
                await self._too_large()(scope, receive, guarded)

    async def _drain(self, receive: Any) -> None:
        """Reads on for a while: a client that is still sending would see a broken connection, not the answer."""
        seen = 0
        while seen < 4 * self._max:
            event = await receive()
            seen += len(event.get("body", b""))
            if event["type"] != "http.request" or not event.get("more_body", False):
                return

    def _too_large(self) -> HTMLResponse:
        text = f"The file is larger than {self._max / 1e6:g} MB, the limit of this server."
        return HTMLResponse(pages.message("Too large", text), 413, headers={"connection": "close"})

    def _refusal(self, method: str, headers: Headers) -> HTMLResponse | None:
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return HTMLResponse(pages.message("Bad request", "bad content-length"), 400)
        if int(length) > self._max:
            return self._too_large()
        # Another site's page must not make this one compute, nor post to it. Browsers say where a request comes from in
        # Sec-Fetch-Site, which no page can set; older ones in Origin alone.
        site = headers.get("sec-fetch-site", "none")
        navigates = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if site not in ("same-origin", "none") and not navigates:
            return self._foreign()
        origin = headers.get("origin")
        if method in ("GET", "HEAD") or origin is None:
            return None
        if origin == "null" and site == "same-origin":  # own page, in a browser that hides where it came from
            return None
        return None if urlsplit(origin).netloc == headers.get("host") else self._foreign()

    @staticmethod
    def _foreign() -> HTMLResponse:
        text = "Requests from other sites are refused. Open this address in the browser itself, then try again."
        return HTMLResponse(pages.message("Refused", text), 403)
