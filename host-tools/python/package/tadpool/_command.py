"""The `tadpool` command."""

from __future__ import annotations

import signal
import sys

from tadpool import _tadpool


def main() -> int:
    """Runs the command line; returns the exit status."""
    # There is no Python to be interrupted: Ctrl-C ends the command, as it does any other.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _tadpool.run_command(["tadpool", *sys.argv[1:]], _tadpool.__file__)


if __name__ == "__main__":
    sys.exit(main())
