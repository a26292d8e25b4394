"""Stage 4: the members of the ensemble, which differ in their seed alone."""

import statistics
from pathlib import Path

from asrkd.config import Config
from asrkd.files import read_json
from asrkd.systems import member_names
from asrkd.train.jobs import train_models
from asrkd.train.training import Training


def train_members(exp: Path, config: Config, force: bool = False) -> None:
    """Train EXP/models/member-01, ... on the labels of stage 3.

    Raises UserError when an input is missing or a loss is no longer finite.
    """
    trained = members(config)
    train_models(exp, config, trained, "stage 4", force)
    accuracy = [read_json(exp / "models" / member.name / "card.json")["dev_accuracy"] for member in trained]
    spread = f", standard deviation {statistics.stdev(accuracy):.2f}" if len(trained) > 1 else ""
    print(f"{len(trained)} members: dev frame accuracy {statistics.mean(accuracy):.2f} %{spread}", flush=True)


def members(config: Config) -> list[Training]:
    return [
        Training(name, config.ensemble.seed + number, config=config) for number, name in enumerate(member_names(config))
    ]
