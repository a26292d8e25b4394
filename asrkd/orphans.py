"""Processes that end with the one that started them.

One that outlives a killed call would go on writing into folders that the next call resumes.
"""

from __future__ import annotations  # the k2 interpreter may be Python 3.8

import os
import threading
import time
from functools import lru_cache

SECONDS_BETWEEN_LOOKS = 0.2


@lru_cache(maxsize=None)  # noqa: UP033 (Python 3.8 has no functools.cache)
def end_with(parent: int) -> None:
    """End this process soon after its parent, of that id, is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
