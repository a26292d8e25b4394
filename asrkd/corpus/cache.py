"""Where downloads are kept between experiments."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """asrkd's folder in the user's cache: below $XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asrkd"
