"""One module or package per command, of the same name, whose `run` reads files, calls the core and writes files.

`run` takes the class of options of the same name in `epitool.options`. If a command writes files besides those that its
options name, `also_writes` lists them. `scoring` pairs predictions with the truth, and `shared` holds what several
commands use. No command imports another.
"""
