"""`asrkd <step> EXP`: one sub-command a step of an experiment; the work is in the packages.

Imports stand inside the commands, so that `asrkd --help` and a step with nothing to do answer at once.
"""

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkd import __version__
from asrkd.errors import UserError
from asrkd.torchrun import rank, world

if TYPE_CHECKING:
    from asrkd.config import Config

# name: (stage, function, what it does)
STEPS = {
    "data": (0, "asrkd.corpus.prepare:prepare_data", "Validate the cut sets of train, dev and test."),
    "features": (1, "asrkd.features.extract:extract_features", "Extract log-mel filterbanks into frame stores."),
    "lang": (2, "asrkd.lang.prepare:prepare_lang", "Make the lexicon, the vocabulary and the language model."),
    "align": (3, "asrkd.align.prepare:align_corpus", "Align from a flat start, tie states, label every frame."),
    "train": (4, "asrkd.train.members:train_members", "Train the members of the ensemble."),
    "fold-teachers": (5, "asrkd.train.folds:train_fold_teachers", "Train distill.folds' teachers, if there are any."),
    "soft-targets": (5, "asrkd.train.soft_targets:make_soft_targets", "Store the ensemble's softened posteriors."),
    "distil": (6, "asrkd.train.students:train_students", "Distil the ensemble into a student at each temperature."),
    "limited": (7, "asrkd.train.limited:train_limited", "Train on shares of the data, hard against soft targets."),
    "graph": (8, "asrkd.decode.graph:build_graph", "Compose the decoding graph HLG in k2."),
    "decode": (9, "asrkd.decode.prepare:decode_systems", "Decode dev and test with every system."),
    "score": (10, "asrkd.score.prepare:score_systems", "Score words and frames of every system."),
    "report": (10, "asrkd.report.prepare:write_report", "Write the tables and the HTML page."),
    "specialists": (11, "asrkd.specialists.prepare:train_specialists", "Train specialists and a student of them."),
}

# recipes/mnist; the stages bear the numbers of their like in the speech recipes, and share their code
MNIST_STEPS = {
    "features": (1, "asrkd.mnist.frames:make_frames", "Make frame stores of the images."),
    "labels": (3, "asrkd.mnist.frames:make_labels", "Write the digit of each image."),
    "train": (4, "asrkd.mnist.nets:train", "Train the large nets, and small ones on hard targets."),
    "soft-targets": (5, "asrkd.mnist.nets:teach", "Store the first large net's softened posteriors."),
    "distil": (6, "asrkd.mnist.nets:distil", "Train small nets on soft targets, of all and of some of the digits."),
    "sweep": (7, "asrkd.mnist.nets:sweep", "Train still smaller students at several temperatures."),
    "score": (10, "asrkd.mnist.score:score_nets", "Count test errors, before and after bias corrections."),
    "report": (10, "asrkd.mnist.report:write_report", "Write the tables and the HTML page."),
}

# name: (function, what it measures)
EXPERIMENTS = {
    "targets": (
        "asrkd.experiments.targets:compare_targets",
        "Entropy, accuracy and cross-entropy of the soft targets on training frames and on dev.",
    ),
    "temperature": (
        "asrkd.experiments.temperature:vary_temperature",
        "Students by temperature, weight of the hard labels, mean over the teachers and form of the targets.",
    ),
    "members": (
        "asrkd.experiments.members:vary_members",
        "Ensemble and student by the number of members, disagreement, calibration.",
    ),
    "sizes": ("asrkd.experiments.sizes:vary_size", "Smaller nets on hard and on soft targets."),
    "untranscribed": (
        "asrkd.experiments.untranscribed:withhold_transcripts",
        "A student on soft targets alone, where half of the corpus has no transcripts.",
    ),
}

# The commands that torchrun shares out.
TRAININGS = ("train", "fold-teachers", "distil", "limited", "mnist train", "mnist distil", "mnist sweep")

experiment = click.argument("exp", type=click.Path(path_type=Path, file_okay=False))


class InOrder(click.Group):
    """Lists the commands in the order of the stages, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Distil an ensemble of speech acoustic models into one small model.

    EXP is an experiment's folder. The recipes' run.sh call these steps in order.
    """


@cli.command()
@experiment
@click.option("--conf", type=click.Path(path_type=Path), multiple=True, help="A YAML file; may be given several times.")
@click.argument("overrides", nargs=-1)
def configure(exp: Path, conf: tuple[Path, ...], overrides: tuple[str, ...]) -> None:
    """Write EXP/config.yaml: what it holds already, then each --conf, then SECTION.KEY=VALUE."""
    from asrkd.experiment import locked
    from asrkd.settings import load_config, save_config

    path = exp / "config.yaml"
    config = load_config(*([path] if path.is_file() else []), *conf, overrides=list(overrides))
    with locked(exp):
        save_config(config, path)


def read_config(exp: Path) -> "Config":
    from asrkd.settings import load_config

    path = exp / "config.yaml"
    if not path.is_file():
        raise UserError(f"{exp}: not an experiment (no config.yaml); a recipe's run.sh or `asrkd configure` makes one")
    return load_config(path)


def _is_first_process(command: str) -> bool:
    """Whether this process is torchrun's first, or alone; the others keep silent.

    Raises UserError when torchrun calls a command that is not shared out among its processes.
    """
    if world() == 1:
        return True
    if command not in TRAININGS:
        raise UserError(
            f"torchrun is for {', '.join(TRAININGS)}; call asrkd {command} without it (run.jobs for more processes)"
        )
    if rank() == 0:
        return True
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)
    return False


def step_command(name: str, stage: int, function: str, text: str) -> click.Command:
    def run(exp: Path, force: bool) -> None:
        from asrkd.experiment import locked

        config = read_config(exp)
        module, _, attribute = function.partition(":")
        command = click.get_current_context().command_path.removeprefix("asrkd ")
        with locked(exp) if _is_first_process(command) else nullcontext():
            step: Callable[[Path, Config, bool], None] = getattr(import_module(module), attribute)
            step(exp, config, force)

    command = click.command(name, help=f"Stage {stage}: {text[0].lower()}{text[1:]}")(
        experiment(click.option("--force", is_flag=True, help="Do it again, even if it is finished.")(run))
    )
    return command


for _name, _step in STEPS.items():
    cli.add_command(step_command(_name, *_step))


@cli.group("experiment", cls=InOrder)
@experiment
@click.pass_context
def experiments(context: click.Context, exp: Path) -> None:
    """Measure what the paper measures around the stages: `experiment EXP NAME`, on an EXP that has stages 0 to 5."""
    context.obj = exp


def experiment_command(name: str, function: str, text: str) -> click.Command:
    @click.option("--quick", is_flag=True, help="A few nets of two epochs: shows that it works, measures nothing.")
    @click.option("--epochs", type=click.IntRange(min=1), help="Of every net, in place of the config's.")
    @click.option("--force", is_flag=True, help="Do it again, even if it is finished.")
    @click.pass_obj
    def run(exp: Path, quick: bool, epochs: int | None, force: bool) -> None:
        from asrkd.experiment import locked
        from asrkd.experiments.result import Options
        from asrkd.report.made_with import expect_members

        config = read_config(exp)
        module, _, attribute = function.partition(":")
        _is_first_process(f"experiment {exp} {name}")  # which refuses torchrun
        with locked(exp):
            expect_members(exp, config)
            getattr(import_module(module), attribute)(exp, config, Options(quick, epochs, force))

    return click.command(name, help=text)(run)


for _name, _measured in EXPERIMENTS.items():
    experiments.add_command(experiment_command(_name, *_measured))


@cli.group(cls=InOrder)
def mnist() -> None:
    """The paper's section 3 on images of digits: the steps of recipes/mnist/run.sh."""


for _name, _step in MNIST_STEPS.items():
    mnist.add_command(step_command(_name, *_step))


@cli.command()
@experiment
@click.argument("key")
def value(exp: Path, key: str) -> None:
    """Print what EXP/config.yaml has for KEY (SECTION.KEY)."""
    from asrkd.config import section

    try:
        print(section(read_config(exp), key)[key])
    except (KeyError, TypeError):
        raise UserError(f"{key}: no such value; the keys are in asrkd/config.py") from None


@cli.command()
@experiment
def words(exp: Path) -> None:
    """Print the words of the transcripts that the lexicon does not have."""
    from asrkd.lang.coverage import show_coverage

    show_coverage(exp, read_config(exp))


@cli.command()
@experiment
@click.option("--vocabulary", type=click.Path(path_type=Path), help="A word a line, in place of EXP's vocabulary.")
def oov(exp: Path, vocabulary: Path | None) -> None:
    """Print how many words outside the vocabulary each decoded system hears."""
    from asrkd.score.outside import show_outside

    show_outside(exp, read_config(exp), vocabulary)


@cli.command()
@experiment
@click.option("--corpus-dir", type=click.Path(path_type=Path), help="A tree in LibriSpeech's layout.")
@click.option("--test", "name", help="Subsets of --corpus-dir, commas between, or a name for --cuts.", required=True)
@click.option("--cuts", type=click.Path(path_type=Path), help="A Lhotse cut set, instead of --corpus-dir.")
@click.option("--system", "chosen", multiple=True, help="This one alone; may be given several times.")
@click.option("--force", is_flag=True, help="Do it again, even if it is finished.")
def evaluate(
    exp: Path, corpus_dir: Path | None, name: str, cuts: Path | None, chosen: tuple[str, ...], force: bool
) -> None:
    """Decode and score another test set with a finished experiment's systems, at the scales that dev chose."""
    from asrkd.evaluate import evaluate_experiment
    from asrkd.experiment import locked

    config = read_config(exp)
    with locked(exp):
        evaluate_experiment(exp, config, corpus_dir=corpus_dir, name=name, cuts=cuts, chosen=chosen, force=force)


@cli.command()
@experiment
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--system", default="", help="A member, ensemble, student-T2, ...; the student without it.")
def transcribe(exp: Path, files: tuple[Path, ...], system: str) -> None:
    """Print the words of audio files: a line a file, its name and a tab before them."""
    from asrkd.experiment import locked
    from asrkd.transcribe import transcribe

    config = read_config(exp)
    with locked(exp):
        for file, text in zip(files, transcribe(exp, config, files, system), strict=True):
            print(f"{file}\t{text}")


@cli.group()
def targets() -> None:
    """Look into a store of soft targets."""


@targets.command("inspect")
@click.argument("path", type=click.Path(path_type=Path, file_okay=False))
def inspect_command(path: Path) -> None:
    """Print what a store holds, after every record of it was read and found whole."""
    from asrkd.distill.inspect import inspect_targets

    for line in inspect_targets(path):
        print(line, flush=True)


@cli.command()
def doctor() -> None:
    """Check every component; exit with 1 and the mending command when one is missing."""
    from asrkd.doctor import run_doctor

    sys.exit(run_doctor())


def main() -> None:
    try:
        cli(prog_name="asrkd")
    except UserError as error:
        sys.exit(f"asrkd: error: {error}")
    except OSError as error:
        # A full disk, a read-only folder: the user's to mend, and the message names the file.
        sys.exit(f"asrkd: error: {error}")
