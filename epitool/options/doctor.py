"""Options of `epitool doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from epitool.options.flag import Options


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Options):
    """Say what is installed and what the machine has, and try whether it works: for a report of a fault.

    Example: epitool doctor --json
    """
