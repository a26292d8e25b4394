"""The command `asrkd`, and `python -m asrkd`."""

import os
import sys


def main() -> None:
    # Read when torch is loaded. Threads that wait for each other in a loop were up to thirty times slower when another
    # process took one of the cores; those that sleep are 8 % slower on a machine of their own.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from asrkd.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"asrkd: error: the command line needs {error.name}; pip install '.[recipes]' in a clone of asrkd")
    run()


if __name__ == "__main__":
    main()
