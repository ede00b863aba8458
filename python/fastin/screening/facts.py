"""What the rows of a results table depend on: version, ion, and for each task its columns, options and models.

Rows of one table agree in all of it for every task that they share; further tasks may join a table later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_OWN = frozenset({"created", "tasks", "per_task"})


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Why rows of `new` cannot join a table of `old`, as text for people; empty where they can."""
    lines = []
    implied = {"columns"} if old.get("tasks") != new.get("tasks") else set[str]()  # an earlier version's manifest
    for name in sorted({*old, *new} - _OWN - implied):
        if old.get(name) != new.get(name):
            lines.append(_change(name, old.get(name), new.get(name)))
    before, now = old.get("per_task"), new.get("per_task")
    if before is None or now is None:
        if old.get("tasks") != new.get("tasks"):
            lines.append(_change("tasks", old.get("tasks"), new.get("tasks")))
        return "; ".join(lines)
    for task in before:
        if task not in now:
            continue
        for part in ("options", "facts"):
            if before[task].get(part) != now[task].get(part):
                lines.append(_change(f"{part} of {task}", before[task].get(part), now[task].get(part)))
        if before[task].get("columns") != now[task].get("columns"):
            lines.append(f"columns of {task} have changed")
    return "; ".join(lines)


def _change(name: str, old: Any, new: Any) -> str:
    return f"{name}: {json.dumps(old)} before, {json.dumps(new)} now"


def joined(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a table of `old` that rows of `new` join; the older tasks first."""
    result = {**old, **new}
    result.pop("created", None)
    if "per_task" in old and "per_task" in new:
        result["per_task"] = {**old["per_task"], **new["per_task"]}
        result["tasks"] = list(result["per_task"])
    return result


def columns_of(manifest: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Columns of all tasks as (name, kind), or ``None`` where the manifest does not say."""
    tasks = manifest.get("per_task")
    if tasks is None:
        return None
    return [(name, kind) for task in tasks.values() for name, kind in task["columns"]]
