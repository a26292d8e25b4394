"""Stage 7: little data, with hard targets and with soft ones."""

from dataclasses import replace
from pathlib import Path

from asrkd.config import Config
from asrkd.corpus.subsets import stratified_subset
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.systems import limited_name
from asrkd.train.jobs import train_models
from asrkd.train.students import student_config
from asrkd.train.training import Training


def train_limited(exp: Path, config: Config, force: bool = False) -> None:
    """Train EXP/models/hard-3 and soft-3, ... on the same share of each speaker's utterances, from the same weights.

    Those on hard targets are trained as the members are, those on soft ones as the students, in the members' shape.
    The soft targets are stage 5's of the first temperature, by teachers that saw much more of the data. Raises
    UserError when an input is missing or a loss is no longer finite.
    """
    store = FrameStore.open(exp / "features" / "train")
    trainings = []
    for net in limited(config):
        chosen = stratified_subset(store.speakers, net.about["share"], config.limited.seed)
        about = {**net.about, "utterances": len(chosen)}
        trainings.append(replace(net, utterances=tuple(store.ids[u] for u in chosen), about=about))
    train_models(exp, config, trainings, "stage 7", force)
    for training in trainings:
        card = read_json(exp / "models" / training.name / "card.json")
        print(
            f"{training.name}: frame accuracy {card['train_accuracy']:.1f} % on its {card['frames']} training frames, "
            f"{card['dev_accuracy']:.2f} % on dev",
            flush=True,
        )


def limited(config: Config) -> list[Training]:
    """The pairs, without the utterances that are drawn for them."""
    of_students, seed = student_config(config), config.limited.seed
    taught = replace(config, train=of_students.train, model=replace(config.model, dropout=of_students.model.dropout))
    weight, temperature = config.limited.hard_weight, config.distill.temperatures[0]
    trainings = []
    for share in config.limited.shares:
        about = {"share": share, "subset_seed": seed}
        trainings += [
            Training(limited_name("hard", share), seed, about=about, config=config),
            Training(limited_name("soft", share), seed, weight, temperature, about=about, config=taught),
        ]
    return trainings
