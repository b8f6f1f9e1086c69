"""Options of `epitool doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from epitool.options.flag import Options


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Options):
    """Report what is installed and what the machine has, and test whether it works; include this in bug reports.

    Example: epitool doctor --json
    """
