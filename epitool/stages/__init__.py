"""One module per command, of the same name: it reads files, calls the core, writes files, and sums up in a line."""
