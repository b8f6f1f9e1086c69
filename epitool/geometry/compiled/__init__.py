"""Formulas shared by several packages, each written once, and the loops over them that numba compiles.

A function marked `formula` works on plain numbers. Compiled loops call it and numba inlines it; where its docstring
says that arrays are allowed too, numpy's broadcasting rules apply. Thus one definition serves both. A function that
takes the index of a camera takes the arrays of all cameras and that index: creating a view of an array for every call
would cost more than the arithmetic.
"""
