"""The words of audio that has no transcripts, by one system of a finished experiment."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from lhotse import MonoCut

from asrkd.config import Config, FeatureConfig
from asrkd.corpus.cuts import make_cut, write_cuts
from asrkd.corpus.header import read_header
from asrkd.decode.scales import read_scales
from asrkd.decode.split import HYPOTHESES, decode_split, load_models
from asrkd.errors import UserError
from asrkd.experiment import expect_settings, identity
from asrkd.features.extract import extract_split
from asrkd.files import read_jsonl
from asrkd.systems import student_name, system_named

WORK = ".transcribe"  # in the experiment, while a call is at work


def transcribe(exp: Path, config: Config, files: Sequence[Path], system: str = "") -> list[str]:
    """The words of each file, at the scales that dev chose; what tells of the work goes to standard error.

    A file is one utterance of one speaker: its own mean and variance normalise it. system: its name; none is the
    student of the first temperature. Raises UserError when the system is unknown or not decoded yet, when the config
    has other features than the experiment, and when a file cannot be read or has another sample rate.
    """
    chosen = system_named(config, system or student_name(config.distill.temperatures[0]))
    decoded = exp / "decode" / chosen.name
    identity(decoded, "stage 9")
    expect_settings(exp / "features" / "train", "stage 1", config)
    cuts = [_cut(number, file, config.features) for number, file in enumerate(files)]
    folder = exp / WORK
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed
    try:
        with stdout_as_stderr():
            write_cuts(folder / "cuts.jsonl.gz", cuts)
            extract_split(folder / "cuts.jsonl.gz", folder / "files", config.features, config.run, 0.0, inputs={})
            models, scales = load_models(exp, chosen, config), read_scales(decoded / "dev")
            what = f"{chosen.name} on {len(files)} files"
            decode_split(exp, config, models, folder / "files", folder, scales=scales, what=what, run=config.run)
        return [row["text"] for row in read_jsonl(folder / HYPOTHESES)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stdout_as_stderr() -> Iterator[None]:
    """What is printed meanwhile, also by processes that are started, goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _cut(number: int, file: Path, features: FeatureConfig) -> MonoCut:
    sample_rate, least = features.sample_rate, int(features.sample_rate * features.frame_length / 1000)
    try:
        found = read_header(file)
    except UserError as error:
        raise UserError(f"{file}: expected audio of one utterance, found {error}") from None
    if (found.sample_rate, found.channels) != (sample_rate, 1):
        raise UserError(
            f"{file}: expected {sample_rate} Hz and one channel, found {found.sample_rate} Hz and {found.channels}; "
            f"convert it (sox IN -r {sample_rate} -c 1 OUT)"
        )
    if found.samples < least:
        raise UserError(f"{file}: expected at least {least} samples, a frame's, found {found.samples}; leave it out")
    name = f"{number:06d}-{file.name}"  # the same file may be named twice
    return make_cut(name, file.absolute(), sample_rate, found.samples, speaker=name, text="")
