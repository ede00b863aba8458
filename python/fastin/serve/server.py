"""How the application is served: uvicorn with time limits for headers, and nothing that outlives the server.

Bodies and answers have their limits in `fastin.serve.guards`; the headers of a request come before any application
code, so their limit lives in the protocol.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastin.errors import missing_extra

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:  # pragma: no cover - depends on the installation
    raise missing_extra("uvicorn", "screen") from error

MOST_CONNECTIONS = 256
_SHUTDOWN_SECONDS = 1  # for answers under way when the server is told to stop


class TimedProtocol(H11Protocol):  # type: ignore[misc]
    """One connection: closed when the headers of a request do not arrive in time, or an answer is not read in time.

    When there are too many connections, the oldest that has not sent a whole request makes room.
    """

    header_seconds = 10.0
    unread_seconds = 60.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A new connection: its first headers are waited for."""
        if len(self.connections) >= MOST_CONNECTIONS:
            idle = [other for other in self.connections if not other._under_way()]
            if idle:
                min(idle, key=lambda other: other._opened).transport.abort()
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._opened = self.loop.time()
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Some bytes; where they complete the headers of a request, its own limits hold from now on."""
        super().data_received(data)
        if self.transport.is_closing() or self._under_way():
            self._stop_waiting()
        elif self._deadline is None:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._stop_waiting()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: its answer waits, but not for ever."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads on."""
        super().resume_writing()
        self._is_read()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self._under_way():
            self.transport.close()


def configuration(app: Any, **options: Any) -> uvicorn.Config:
    """How uvicorn shall run the application; `options` are uvicorn's own."""
    fixed: dict[str, Any] = {
        "http": TimedProtocol,
        "ws": "none",
        "log_level": "warning",
        "server_header": False,
        "timeout_keep_alive": 5,
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
    }
    return uvicorn.Config(app, **(fixed | options))
