"""Entry point of the `epitool` command and of `python -m epitool`."""

import signal


def main() -> None:
    """Run the command. Ctrl-C while its modules are imported ends it without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a job in the background ignores Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from epitool.cli import main as run  # takes most of the time until a command begins

    run()


if __name__ == "__main__":
    main()
