import pytest
from tiers import drawn, once, thorough_but


def is_thorough(case) -> bool:
    return any(mark.name == "thorough" for mark in case.marks)


def test_what_always_runs_shows_all_that_any_case_shows():
    cases = [pytest.param(file, command, id=f"{file}{command}") for file in "abc" for command in "xyz"]
    made = once(cases, lambda file, command: (file, command))
    assert [case.id for case in made] == [case.id for case in cases]
    assert [case.id for case in made if not is_thorough(case)] == ["ax", "ay", "az", "bx", "cx"]


def test_values_that_are_not_named_are_thorough():
    first, second = thorough_but(["a", "b"], "a")
    assert first == "a"
    assert is_thorough(second)


def test_commits_draw_an_eighth_of_the_tests_in_a_sixteenth_of_the_files_each_another():
    ids = [f"test_{file}.py::test_{n}" for file in range(600) for n in range(12)]
    one, two = (drawn(ids, commit) for commit in ("one", "two"))
    for sample in (one, two):
        assert len({nodeid.partition("::")[0] for nodeid in sample}) == 38
        assert len(sample) == 76
    assert len(one & two) < 20
    assert drawn(ids[:1], "one") == {ids[0]}
