"""The Starlette application behind ``fastin serve``."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import secrets
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastin.errors import FastinError, missing_extra

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
    from starlette.routing import Route
except ImportError as error:  # pragma: no cover - depends on the installation
    raise missing_extra("starlette", "screen") from error

from fastin.runtime.memory import share_of_memory
from fastin.screening import inputs
from fastin.screening.query import Question, Questions
from fastin.serve import forms, pages
from fastin.serve.guards import FRAME_POLICY, SCRIPT_POLICY, Guards
from fastin.serve.jobs import BusyError, Job, Jobs

_QUERY_SECONDS = 10.0
_QUERY_MEMORY = 2**30
_MAX_ROWS = 1000
_PARALLEL = 2  # computations, and questions, at a time
_WAITING_QUESTIONS = 8
_MOST_MEMORY = 6 * 2**30  # bytes of one computation, where the machine has as much


@dataclass(frozen=True)
class Settings:
    """How the application runs.

    Attributes:
        results: table to browse, or None.
        sources: what was screened: rows of the table can be opened from there, and from nowhere else.
        max_upload: bytes.
        time_limit: seconds for one upload.
        memory_bytes: what one computation may allocate; None takes its share of what the machine has free, at most
            6 GiB.
        file_bytes: largest file that it may write; a larger grid is not offered.
        keep: uploads that stay.
        pause_seconds: longest silence of a client inside a request.
        hosts: names under which the server may be addressed.
    """

    results: str | None = None
    sources: tuple[str, ...] = ()
    max_upload: int = 10_000_000
    time_limit: float = 60.0
    memory_bytes: int | None = None
    file_bytes: int = 64 * 2**20
    keep: int = 50
    pause_seconds: float = 20.0
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")


def _script_page(text: str, policy: str = SCRIPT_POLICY) -> HTMLResponse:
    return HTMLResponse(text, headers={"content-security-policy": policy})


class _Guarded(Starlette):
    """With the guards around everything: refusals of an unknown host and unexpected errors carry their headers too."""

    def __init__(self, *, max_bytes: int, pause_seconds: float, key: str, **options: Any) -> None:
        self._limits = (max_bytes, pause_seconds, key)
        super().__init__(**options)

    def build_middleware_stack(self) -> Any:
        """As Starlette's, inside `Guards`."""
        return Guards(super().build_middleware_stack(), *self._limits)


class _Application:
    """The handlers; one instance a server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.jobs: Jobs | None = None
        self.key = secrets.token_urlsafe(12)  # of the links on the report page
        self._report: str | None = None
        self._table: Any = None
        self._questions: list[Questions] = []
        self._free: asyncio.Queue[Questions] | None = None
        self._asking = 0
        self._sources = inputs.expand(list(settings.sources)) if settings.sources else None

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """The folder of the uploads lives as long as the server."""
        with tempfile.TemporaryDirectory(prefix="fastin-serve-") as root:
            settings = self.settings
            memory = settings.memory_bytes or min(_MOST_MEMORY, share_of_memory(_PARALLEL) or _MOST_MEMORY)
            self.jobs = Jobs(Path(root), settings.time_limit, memory, settings.file_bytes, settings.keep, _PARALLEL)
            if settings.results is not None:
                granted = min(_QUERY_MEMORY, memory)
                self._questions = [
                    Questions(settings.results, time_limit=_QUERY_SECONDS, memory=granted) for _ in range(_PARALLEL)
                ]
            self._free = asyncio.Queue()
            for questions in self._questions:
                self._free.put_nowait(questions)
            try:
                yield
            finally:
                for questions in self._questions:
                    questions.kill()
                await self.jobs.close()
                for questions in self._questions:
                    await asyncio.to_thread(questions.close)

    async def _ask(self, question: Question) -> Any:
        """The answer of whichever process is free; a few may wait for one."""
        assert self._free is not None
        if self._asking >= _WAITING_QUESTIONS:
            raise HTTPException(503, "Too many questions wait already; try again in a minute.")
        self._asking += 1
        try:
            questions = await self._free.get()
            try:
                return await asyncio.to_thread(questions.ask, question)
            finally:
                self._free.put_nowait(questions)
        finally:
            self._asking -= 1

    def _all(self) -> Jobs:
        assert self.jobs is not None
        return self.jobs

    def _job(self, request: Request) -> Job:
        job = self._all().get(request.path_params["token"])
        if job is None:
            raise HTTPException(404, "no such structure; the oldest ones are removed")
        return job

    async def home(self, request: Request) -> Response:
        """Upload form and latest structures."""
        page = pages.home(self._all().latest()[:20], self.settings.max_upload / 1e6, self.settings.results is not None)
        return HTMLResponse(page)

    async def analyze(self, request: Request) -> Response:
        """Takes one structure (a file, pasted text or an example) and redirects to its page."""
        async with request.form(max_files=1, max_fields=16) as form:
            upload = form.get("file")
            file_name = "" if upload is None or isinstance(upload, str) else upload.filename or ""
            payload = b"" if upload is None or isinstance(upload, str) or not file_name else await upload.read()
            fields = [(key, value) for key, value in form.multi_items() if isinstance(value, str)]
        asked = forms.parse(fields)
        if asked.example is not None:
            payload, name, kind = asked.example.read_bytes(), asked.example.name, "cif"
        elif file_name:
            name = Path(file_name.replace("\\", "/")).name[:120] or "structure"
            named_poscar = inputs.is_structure_name(name) and not name.lower().endswith((".cif", ".mcif"))
            kind = "poscar" if named_poscar else "cif"
        elif asked.text:
            payload, name = asked.text.encode("utf-8", "replace"), "pasted text"
            kind = forms.kind_of_text(asked.text)
        else:
            raise HTTPException(400, "No structure was sent: choose a file, paste its text or take an example.")
        return self._start(payload, {"name": name, "kind": kind, **asked.options()})

    def _start(self, payload: bytes, request: dict[str, Any]) -> Response:
        try:
            job = self._all().start(payload, request)
        except BusyError as error:
            raise HTTPException(503, "Too many structures wait already; try again in a minute.") from error
        return RedirectResponse(f"/job/{job.token}", status_code=303)

    async def job(self, request: Request) -> Response:
        """What came of an upload; while it is under computation a page that loads itself again."""
        job = self._job(request)
        if not job.done:
            return HTMLResponse(pages.running(job), status_code=202, headers={"refresh": "1"})
        return HTMLResponse(pages.job_page(job), status_code=422 if "error" in job.result else 200)

    async def frame(self, request: Request) -> Response:
        """The view page inside the page of the upload."""
        return await self.view(request, policy=FRAME_POLICY)

    async def view(self, request: Request, policy: str = SCRIPT_POLICY) -> Response:
        """The view page of an upload."""
        path = self._job(request).file("view.html")
        if path is None:
            raise HTTPException(404, "this structure has no view page")
        return _script_page(path.read_text(encoding="utf-8"), policy)

    async def file(self, request: Request) -> Response:
        """One result file, by its fixed name."""
        path = self._job(request).file(request.path_params["name"])
        if path is None:
            raise HTTPException(404, "no such file")
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    def _results(self) -> Any:
        if self.settings.results is None:
            raise HTTPException(404, "the server was started without --results")
        if self._table is None:
            from fastin.screening.store import read_results

            self._table = read_results(self.settings.results)
        return self._table

    async def results(self, request: Request) -> Response:
        """The report page of the table."""
        from fastin.screening.report import report_html

        table = await asyncio.to_thread(self._results)
        if self._report is None:
            address = f"/structure?id={{id}}&key={self.key}" if self._sources is not None else None
            title = f"Results: {Path(str(self.settings.results)).name}"
            self._report = await asyncio.to_thread(report_html, table, title=title, view_url=address)
        return _script_page(self._report)

    async def query(self, request: Request) -> Response:
        """Best rows under a condition; as JSON with ``format=json``."""
        from fastin.screening.labels import present_name

        table = await asyncio.to_thread(self._results)
        columns = [name for name in table.column_names if name != "record_key"]
        by = request.query_params.get("by") or present_name("barrier_3d_network_eV", columns) or columns[0]
        where = request.query_params.get("where", "")[:1000]
        limit_text = request.query_params.get("limit", "20")
        limit = max(1, min(_MAX_ROWS, int(limit_text))) if re.fullmatch("[0-9]{1,6}", limit_text) else 20
        found, problem = None, ""
        try:
            found = await self._ask(Question(by, where, limit))
        except FastinError as error:
            problem = str(error)
        if request.query_params.get("format") == "json":
            if found is None:
                return JSONResponse({"error": problem}, status_code=400)
            return JSONResponse({"rows": [{k: _finite(v) for k, v in row.items()} for row in found.to_pylist()]})
        page = pages.query_page(columns, found, by, where, limit, problem, self._sources is not None)
        return HTMLResponse(page, status_code=400 if problem else 200)

    async def structure(self, request: Request) -> Response:
        """The page of one row: its structure is looked up by name among what the operator gave, nowhere else."""
        uid = request.query_params.get("id", "")
        if request.method == "POST":
            async with request.form(max_files=0, max_fields=4) as form:
                uid = str(form.get("id", ""))
        if self._sources is None:
            raise HTTPException(404, "the server was started without --data")
        record = await asyncio.to_thread(self._find, uid)
        if record is None or record.kind not in ("cif", "poscar"):
            raise HTTPException(404, "no such structure in the data of the server")
        return self._start(record.payload, {"name": uid[:120], "kind": record.kind, **forms.Asked().options()})

    def _find(self, uid: str) -> inputs.Record | None:
        return next((record for record in inputs.records(self._sources) if record.uid == uid), None)


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return HTMLResponse(pages.message(f"{error.status_code}", str(error.detail)), status_code=error.status_code)


async def _unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, MemoryError):
        return HTMLResponse(pages.message("Error", "The memory of the server does not suffice for this."), 500)
    return HTMLResponse(
        pages.message("Error", "The server met an error that it did not expect; it is in its log."), 500
    )


async def _fastin_error(request: Request, error: Exception) -> Response:
    return HTMLResponse(pages.message("Error", str(error)), status_code=500)


def create_app(settings: Settings | None = None) -> Starlette:
    """The application.

    Raises:
        InputError: the table or the sources do not exist, or the table is none.
    """
    settings = settings or Settings()
    if settings.results is not None:
        from fastin.screening.store import check_results

        check_results(settings.results)
    application = _Application(settings)
    routes = [
        Route("/", application.home),
        Route("/analyze", application.analyze, methods=["POST"]),
        Route("/job/{token}", application.job),
        Route("/job/{token}/view", application.view),
        Route("/job/{token}/frame", application.frame),
        Route("/job/{token}/file/{name}", application.file),
        Route("/results", application.results),
        Route("/query", application.query),
        Route("/structure", application.structure, methods=["GET", "POST"]),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts), www_redirect=False),
    ]
    return _Guarded(
        max_bytes=settings.max_upload,
        pause_seconds=settings.pause_seconds,
        key=application.key,
        routes=routes,
        middleware=middleware,
        lifespan=application.lifespan,
        exception_handlers={HTTPException: _http_error, FastinError: _fastin_error, Exception: _unexpected},
    )
