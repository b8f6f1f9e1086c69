"""One module or package per command, of the same name, whose `run` reads files, calls the core and writes files.

It takes the class of options of the same name in `epitool.options`. Where a command writes files besides those that its
options name, `also_writes` says which. What pairs predictions with the truth is in `scoring`, and what several commands
use in `shared`. No command imports another.
"""
