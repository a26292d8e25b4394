"""Stages 1 to 9 of the tone corpus on loky, on a Ray cluster of two nodes and on a Dask cluster of two processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asrkd.cli import STEPS
from tests.end_to_end.test_tones import configure, identities, run
from tests.tone_corpus import make_tone_corpus

ON_CLUSTER = list(STEPS)[: list(STEPS).index("decode") + 1]

# A process that keeps a cluster until its standard input ends, and prints the address first.
RAY = """
import sys
from ray.cluster_utils import Cluster
if __name__ == "__main__":
    cluster = Cluster()
    for _ in range(2):
        cluster.add_node(num_cpus=1, include_dashboard=False)
    print("address", cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()
"""
DASK = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None) as cluster:
        print("address", cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
CLUSTERS = {"ray": (RAY, "RAY_ADDRESS"), "dask": (DASK, "DASK_SCHEDULER_ADDRESS")}


@contextmanager
def cluster(engine: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The variable and the value that lead to it."""
    source, variable = CLUSTERS[engine]
    script = folder / f"{engine}_cluster.py"
    script.write_text(source)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("address "):
                yield variable, line.split()[1]
                return  # leaving the block closes its standard input, and it ends
        raise AssertionError(f"{engine}: expected a cluster, found that its process ended")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_tone_corpus(tmp_path_factory.mktemp("tones"), utterances={"train": 40, "dev": 6, "test": 6})


@pytest.fixture(scope="module")
def on_loky(corpus: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return made_by("loky", corpus, tmp_path_factory.mktemp("loky"))


def made_by(engine: str, corpus: dict[str, Any], exp: Path) -> dict[str, str]:
    small = ("model.hidden_size=32", "train.epochs=2", "align.num_pdfs=40", "run.jobs=2")
    configure(exp, corpus, *small, f"run.engine={engine}")
    for step in ON_CLUSTER:
        run(exp, step)
    return identities(exp)


@pytest.mark.long
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_the_engines_make_the_same(
    engine: str, corpus: dict[str, Any], on_loky: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with cluster(engine, tmp_path) as (variable, address):
        monkeypatch.setenv(variable, address)
        assert made_by(engine, corpus, tmp_path / "exp") == on_loky
