"""What the header of an audio file says of it."""

from pathlib import Path
from typing import NamedTuple

import soundfile

from asrkd.errors import UserError

# libsndfile's count for a file that does not say: what an encoder wrote into a pipe, not knowing how long it would be.
UNKNOWN_LENGTH = 2**63 - 1


class Header(NamedTuple):
    sample_rate: int
    channels: int
    samples: int  # of each channel


def read_header(path: Path) -> Header:
    """Raises UserError, with the reason alone, when the file is missing, is no audio or does not say how long it is."""
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise UserError(error.error_string if path.is_file() else "no such file") from None
    except UnicodeEncodeError:
        raise UserError("a name that is not UTF-8; rename it") from None
    if info.frames == UNKNOWN_LENGTH:
        raise UserError(f"a header without the number of samples; write it anew (sox IN OUT{path.suffix})")
    return Header(info.samplerate, info.channels, info.frames)


def mono_header(path: Path) -> Header:
    """That of an utterance's file. Raises UserError, naming it, where `read_header` does and where it is not mono."""
    try:
        header = read_header(path)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if header.channels != 1:
        raise UserError(f"{path}: expected one channel, found {header.channels}; convert it (sox IN -c 1 OUT)")
    return header
