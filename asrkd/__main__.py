"""The command `asrkd`, and `python -m asrkd`."""

import sys


def main() -> None:
    try:
        from asrkd.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"asrkd: error: the command line needs {error.name}; pip install 'asrkd[recipes]'")
    run()


if __name__ == "__main__":
    main()
