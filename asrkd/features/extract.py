"""Stage 1: log-mel filterbanks of every split, normalised per speaker, into frame stores."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from asrkd.config import Config, FeatureConfig, RunConfig
from asrkd.corpus.cuts import SPLITS
from asrkd.experiment import Step, identity
from asrkd.files import hash_file


def extract_features(exp: Path, config: Config, force: bool = False) -> None:
    """EXP/features/<split> for the three splits; see extract_split."""
    identity(exp / "data", "stage 0")
    for split in SPLITS:
        cuts_path = exp / "data" / f"{split}.jsonl.gz"
        extract_split(
            cuts_path,
            exp / "features" / split,
            config.features,
            config.run,
            config.data.max_left_out,
            # Not the identity of the whole stage 0: another test set leaves train's features in peace.
            {"cuts": hash_file(cuts_path)},
            force,
        )


def extract_split(
    cuts_path: Path,
    folder: Path,
    features: FeatureConfig,
    run: RunConfig,
    max_left_out: float,
    inputs: Mapping[str, str],
    force: bool = False,
) -> None:
    """A FrameStore in `folder` of the cut set's utterances, in its order, and left_out.jsonl beside it.

    The work is done in shards: a killed call redoes only those that are not finished. Raises UserError when more than
    `max_left_out` (a share) of the utterances cannot be read; what was finished stays for the next call.
    """
    step = Step(folder, made_by="stage 1", config={"features": asdict(features)}, inputs=inputs, force=force)
    if step.begin():
        # Only now: it takes seconds to import, and where nothing is to be done none are wanted.
        from asrkd.features.split import extract

        extract(step, cuts_path, features, run, max_left_out)
