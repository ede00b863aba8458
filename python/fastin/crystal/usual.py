"""Names of the ions that usually move. Without numpy: the commands read them in a process that starts without it."""

from __future__ import annotations

#: small or soft cations of one charge, likeliest first
MONOVALENT = ("Li", "Na", "K", "Ag", "Cu")
