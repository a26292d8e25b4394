"""Utterances as a page can play them without fetching a file."""

import base64
import io
from collections.abc import Collection

import soundfile
from lhotse import CutSet

from asrkd.corpus.left_out import LeftOut
from asrkd.features.shards import read_samples
from asrkd.features.split import segments_of


def sounds(cuts: CutSet, ids: Collection[str], sample_rate: int) -> dict[str, str | LeftOut]:
    """id -> a data URI of the utterance in FLAC, or why it has none: the audio may be gone by now."""
    found: dict[str, str | LeftOut] = {}
    for segment in segments_of(cuts.filter(lambda cut: cut.id in ids)):
        samples = read_samples(segment, sample_rate)
        if isinstance(samples, LeftOut):
            found[segment.id] = samples
            continue
        file = io.BytesIO()
        soundfile.write(file, samples, sample_rate, format="FLAC", subtype="PCM_16")
        found[segment.id] = "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode()
    return found
