"""Where the optional reference data lie: beside the repository, or where FASTIN_SHARED points."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FASTIN_SHARED", ROOT.parent / "shared"))
