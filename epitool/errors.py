"""Errors caused by input, options or circumstances; each kind has its own exit status.

Programming mistakes raise `ValueError` instead, which is never caught.
"""

_LONGEST = 200  # characters of another program's message


def first_line(error: Exception) -> str:
    r"""Return the beginning of what an error of other code says, or its type where it says nothing.

    >>> first_line(ValueError("no header\nat byte 0")), first_line(EOFError())
    ('no header', 'EOFError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0][:_LONGEST]


class EpitoolError(Exception):
    """Base class of all errors that a user can cause; the message says where, what was found, and what to do.

    It is raised itself if a process of a distributed training, or the work of a Dask cluster, is lost.
    """

    exit_status = 1


class UsageError(EpitoolError):
    """Options that do not fit together, or an optional dependency that is not installed."""

    exit_status = 2


class InputError(EpitoolError):
    """A file or folder that is missing, damaged, of another format, or inconsistent with the others."""

    exit_status = 3


class GeometryError(EpitoolError):
    """Joints that do not determine a solution: too few matches, a degenerate scene, no common frame."""

    exit_status = 4


class VerticalError(GeometryError):
    """People who do not tell which way is up; cameras can be found all the same, without asking them."""

    status_of_step = 104  # in place of the exit status, for the command that runs this one as a step


class CheckpointError(EpitoolError):
    """A checkpoint that cannot be read, or does not fit the requested task."""

    exit_status = 5
