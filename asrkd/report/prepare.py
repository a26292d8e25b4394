"""Stage 10, second half: EXP/report with RESULTS.md, results.json and index.html."""

from dataclasses import asdict
from pathlib import Path

from asrkd.config import Config
from asrkd.experiment import Step, identity
from asrkd.files import hash_value
from asrkd.report import facts, specialists
from asrkd.report.experiments import experiment_hashes
from asrkd.report.made_with import expect_config
from asrkd.report.scores import read_scores


def write_report(exp: Path, config: Config, force: bool = False) -> None:
    """The paper's tables beside ours, as Markdown, as JSON and as a page. The same experiment gives the same bytes.

    Raises UserError when a stage before this one has not been finished, or with other settings than the config's, or
    when a system of the config has no scores.
    """
    made = {"scores": identity(exp / "scores", "stage 10")}
    expect_config(exp, config)
    scores = read_scores(exp, config)
    made |= specialists.made(exp, config)
    stamps = facts.stamps(exp, scores, config, specialists.steps(exp) if str(specialists.FOLDER) in made else [])
    made["stamps"] = hash_value(stamps)  # the report prints their times and versions
    made |= experiment_hashes(exp)
    chosen = facts.without_folders(
        {name: value for name, value in asdict(config).items() if name not in ("run", "mnist")}
    )
    step = Step(exp / "report", made_by="stage 10", config=chosen, inputs=made, force=force)
    if step.begin():
        # Only now: what draws takes a second to import, and where nothing is to be done none is wanted.
        from asrkd.report.build import build

        build(step, exp, config, scores, stamps, chosen)
