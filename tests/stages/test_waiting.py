"""What is shown while the core works."""

from __future__ import annotations

import threading

from numba import njit

from epitool.console import set_quiet
from epitool.stages.shared import waiting


def test_compiling_is_said_once_and_only_where_something_is_compiled(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "_once", threading.Lock())
    set_quiet(False)
    functions = [njit(lambda x, n=n: x + n) for n in range(3)]
    functions[0](1.0)
    assert "compiling" not in capsys.readouterr().err
    with waiting.at_work("counting"):
        functions[0](1.0)
        assert "compiling" not in capsys.readouterr().err
        for function in functions:
            function(1.0)
    functions[2](1)
    assert capsys.readouterr().err.count("compiling for this machine") == 1
