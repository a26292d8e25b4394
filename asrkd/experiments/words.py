"""Word error rates of an experiment's systems: graph, search and choice of scales are those of stage 9."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from asrkd.config import Config
from asrkd.decode.prepare import decode_each, decoding_inputs, decoding_step
from asrkd.experiment import STAMP
from asrkd.experiments.frames import SPLITS
from asrkd.score.counts import hypotheses_path, word_errors
from asrkd.systems import System, systems


def search_inputs(exp: Path) -> dict[str, str]:
    """Name -> identity; none where stage 8 has not made a graph. Raises UserError when there is one that is not
    finished, or is of other words or states."""
    return decoding_inputs(exp) if (exp / "graph" / STAMP).is_file() else {}


def word_error_rates(
    exp: Path, config: Config, found: Sequence[System], inputs: Mapping[str, str], made_by: str, force: bool
) -> dict[tuple[str, str], float]:
    """(system, dev or test) -> WER in percent, at the scales of the system's lowest WER on dev.

    A system's hypotheses are in EXP/decode/<its name>, unless stage 9 has decoded one of the same models: then they are
    that one's, also by force. inputs: those of `search_inputs`, of which there are some. Raises UserError when a model,
    the transcripts or the decoder are missing.
    """
    decoded = {system.name: _of_stage_9(exp, config, system, inputs) or system for system in found}
    decode_each(exp, config, [system for system in found if decoded[system.name] is system], inputs, made_by, force)
    return {
        (name, split): 100 * word_errors(exp / "data" / f"{split}.jsonl.gz", hypotheses_path(exp, system, split)).wer
        for name, system in decoded.items()
        for split in SPLITS
    }


def _of_stage_9(exp: Path, config: Config, system: System, inputs: Mapping[str, str]) -> System | None:
    """The one of the same models, where stage 9 has decoded it from what is there now."""
    for own in systems(config):
        if own.models == system.models and decoding_step(exp, config, own, inputs, "stage 9").is_current():
            return own
    return None
