"""Screening: thousands of structures into one resumable table, on this machine or on Dask."""

from __future__ import annotations

from fastin.screening.campaign import Progress, ScreenResult, screen
from fastin.screening.engine import WorkerStartError
from fastin.screening.job import Job
from fastin.screening.store import StoreError, read_results
from fastin.screening.tasks import DEFAULT_TASKS, task_names

__all__ = [
    "DEFAULT_TASKS",
    "Job",
    "Progress",
    "ScreenResult",
    "StoreError",
    "WorkerStartError",
    "read_results",
    "screen",
    "task_names",
]
