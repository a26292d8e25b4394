"""What it costs to ask: `asrkd --help`, and every step of a finished experiment when there is nothing to do.

python -m benchmarks.startup [EXP]
"""

import statistics
import subprocess
import sys
import time

from asrkd.cli import STEPS
from benchmarks.timing import table


def seconds_of(*arguments: str) -> float:
    """The median of three."""
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "asrkd", *arguments], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


if __name__ == "__main__":
    calls = [["--help"], *([step, sys.argv[1]] for step in STEPS if len(sys.argv) > 1)]
    rows = [[f"asrkd {' '.join([call[0], *('EXP' for _ in call[1:])])}", f"{seconds_of(*call):.2f}"] for call in calls]
    print(table(["", "seconds"], rows))
