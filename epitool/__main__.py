"""Entry point of `python -m epitool`, which does the same as the `epitool` command."""

from epitool.cli import main

if __name__ == "__main__":
    main()
