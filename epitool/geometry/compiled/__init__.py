"""Formulas that several rooms use, each written once, and the loops over them that numba compiles.

A function marked `formula` is of plain numbers. Compiled loops call it and numba makes it a part of them; where it says
that arrays may be given too, numpy's rules of broadcasting hold. So one text serves both. Whatever has an index of a
camera takes the arrays of all cameras and that index: a view of an array for every call would cost more than the
arithmetic.
"""
