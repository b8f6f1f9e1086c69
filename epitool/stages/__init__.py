"""One module or package per command, of the same name, whose `run` reads files, calls the core and writes files.

What pairs predictions with the truth is in `scoring`, and what several commands use in `shared`. No command imports
another.
"""
