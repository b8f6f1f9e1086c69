"""Everything that can go wrong through input, options or circumstances; each kind has its own exit status.

Programming mistakes raise `ValueError` instead, and are never caught.
"""


class EpitoolError(Exception):
    """Root of all errors that a user can cause; the message says where, what was found, and what to do.

    Itself: a process of a distributed training, or the work of a Dask cluster, was lost.
    """

    exit_status = 1


class UsageError(EpitoolError):
    """Options that do not fit together, or something optional that is not installed."""

    exit_status = 2


class InputError(EpitoolError):
    """A file or folder that is missing, damaged, of another format, or does not fit the others."""

    exit_status = 3


class GeometryError(EpitoolError):
    """The joints determine no answer: too few matches, a degenerate scene, no common frame."""

    exit_status = 4


class CheckpointError(EpitoolError):
    """A checkpoint that cannot be read or does not fit what is asked of it."""

    exit_status = 5
