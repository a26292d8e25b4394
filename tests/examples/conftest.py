"""What the tests of the examples share. Each skips where its stack is not installed."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # its library reads this once, when it is imported

Run = Callable[[Callable[[], None]], list[tuple[float, float]]]


@pytest.fixture(scope="module", autouse=True)
def _no_lazy_modules() -> Iterator[None]:
    """Other tests of this process look through sys.modules, as hypothesis and warnings do, and SpeechBrain leaves
    modules there that import deprecated or missing packages as soon as they are looked at."""
    yield
    for name, module in list(sys.modules.items()):
        if name.startswith("speechbrain") and type(module).__name__ in ("LazyModule", "DeprecatedModuleRedirect"):
            del sys.modules[name]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs an example's main() and returns the losses at the start and at the end of each line that it prints."""

    def run(main: Callable[[], None]) -> list[tuple[float, float]]:
        monkeypatch.chdir(tmp_path)
        main()
        printed, noise = capfd.readouterr()
        assert noise == ""
        assert list(tmp_path.iterdir()) == []
        losses = [re.fullmatch(r".*loss (\d+\.\d\d) .*, (\d+\.\d\d) .*", line) for line in printed.splitlines()]
        assert losses and all(losses), printed
        return [(float(found[1]), float(found[2])) for found in losses if found]

    return run
