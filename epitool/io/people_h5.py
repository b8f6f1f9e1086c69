"""Names of the people in `labels.h5`: one at the top level of the file, others in groups `people/person2` and so on."""

from __future__ import annotations

import re

import h5py

from epitool.io.h5 import group_in, text

PEOPLE, FIRST = "people", "person1"
_FURTHER = re.compile(r"person([1-9]\d{0,8})")


def names_in(file: h5py.File) -> tuple[str, ...]:
    """Return the names of all people, by their numbers.

    Raises:
        ValueError: The top level is not of the first person, or something among the others has no person's name.
    """
    if (first := text(file.attrs, "person", FIRST)) != FIRST:
        raise ValueError(f"its top level is of '{first[:40]}', not of {FIRST}")
    numbers = []
    for name in group_in(file, PEOPLE) or ():
        found = _FURTHER.fullmatch(name)
        if not found or name == FIRST:
            raise ValueError(f"'{PEOPLE}' holds {name[:40]!r}, which is no further person's name")
        numbers.append(int(found[1]))
    return (FIRST, *(f"person{number}" for number in sorted(numbers)))


def group_of(file: h5py.File, person: str) -> h5py.Group:
    """Return the group of a further person.

    Raises:
        KeyError: There is none.
        ValueError: It is no group of this file.
    """
    people = group_in(file, PEOPLE)
    if people is None or (group := group_in(people, person)) is None:
        raise KeyError(f"'{PEOPLE}/{person}'")
    return group
