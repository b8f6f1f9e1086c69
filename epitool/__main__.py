"""Lets `python -m epitool` do what the `epitool` command does."""

from epitool.cli import main

if __name__ == "__main__":
    main()
