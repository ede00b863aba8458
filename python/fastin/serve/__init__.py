"""A small local web application: upload a structure, see it, take the files; browse a results table."""

from __future__ import annotations

from fastin.serve.app import Settings, create_app

__all__ = ["Settings", "create_app"]
