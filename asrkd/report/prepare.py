"""Stage 10, second half: EXP/report with RESULTS.md, results.json and index.html."""

from dataclasses import asdict
from pathlib import Path

from asrkd.config import Config
from asrkd.experiment import Step, hash_value, identity
from asrkd.report import facts
from asrkd.report.scores import read_scores


def write_report(exp: Path, config: Config, force: bool = False) -> None:
    """The paper's tables beside ours, as Markdown, as JSON and as a page. The same experiment gives the same bytes.

    Raises UserError when a stage before this one has not been finished or a system of the config has no scores.
    """
    made = {"scores": identity(exp / "scores", "stage 10")}
    scores = read_scores(exp, config)
    stamps = facts.stamps(exp, scores)
    made["stamps"] = hash_value(stamps)  # the report prints their times and versions
    chosen = facts.without_folders({name: value for name, value in asdict(config).items() if name != "run"})
    step = Step(exp / "report", made_by="stage 10", config=chosen, inputs=made, force=force)
    if step.begin():
        # Only now: what draws takes a second to import, and where nothing is to be done none is wanted.
        from asrkd.report.build import build

        build(step, exp, config, scores, stamps, chosen)
