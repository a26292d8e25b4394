"""A tree in LibriSpeech's layout: SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and an audio file an utterance."""

from pathlib import Path

import soundfile
from lhotse import CutSet

from asrkd.corpus.cuts import make_cut
from asrkd.corpus.left_out import LeftOut
from asrkd.errors import UserError
from asrkd.progress import track


def read_librispeech(corpus_dir: Path, subset: str) -> tuple[CutSet, list[LeftOut]]:
    """The utterances of one subset in the order of their ids, and those left out, each with the reason.

    Left out are transcripts without audio, audio without a transcript, empty transcripts, ids that occur twice and
    audio whose header cannot be read. Raises UserError, naming what is there, when the folder is missing or holds no
    transcripts.
    """
    folder = subset_folder(corpus_dir, subset)
    transcripts, left_out = _transcripts(folder)
    # A .flac and a .wav of the same name are the same utterance: sorted, the .flac comes first and is kept.
    audio: dict[str, Path] = {}
    for path in sorted([*folder.glob("*/*/*.flac"), *folder.glob("*/*/*.wav")]):
        audio.setdefault(path.stem, path)
    if not transcripts:
        raise UserError(
            f"{folder}: expected SPEAKER/CHAPTER/*.trans.txt with audio beside it, found {len(audio)} audio files and "
            "no transcript; --corpus-dir names the folder that holds the subsets"
        )
    cuts = []
    for name in track(sorted(transcripts.keys() | audio.keys()), what=f"read {subset}", unit="utterances"):
        problem = _problem(transcripts.get(name), audio.get(name), folder)
        if problem is None:
            try:
                info = soundfile.info(audio[name])
            except soundfile.LibsndfileError as error:
                problem = f"{audio[name]}: {error.error_string}"
        if problem is not None:
            left_out.append(LeftOut(name, problem))
            continue
        speaker = audio[name].parent.parent.name
        cuts.append(make_cut(name, audio[name], info.samplerate, info.frames, speaker, transcripts[name]))
    return CutSet.from_cuts(cuts), left_out


def subset_folder(corpus_dir: Path, subset: str) -> Path:
    """Raises UserError with the folders there are when `corpus_dir` has no such subset."""
    if not corpus_dir.is_dir():
        raise UserError(f"{corpus_dir}: no such folder; --corpus-dir names a folder in LibriSpeech's layout")
    folder = corpus_dir / subset
    if not subset or not folder.is_dir():
        there = sorted(path.name for path in corpus_dir.iterdir() if path.is_dir())
        raise UserError(
            f"{corpus_dir}: expected a subset '{subset}', found {', '.join(there) or 'no folder'}; "
            "--corpus-dir names the folder that holds the subsets, --train, --dev and --test name the subsets in it"
        )
    return folder.absolute()


def _transcripts(folder: Path) -> tuple[dict[str, str], list[LeftOut]]:
    texts: dict[str, str] = {}
    left_out = []
    for path in sorted(folder.glob("*/*/*.trans.txt")):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            name, *words = line.split() or [""]  # also at tabs
            if name in texts:
                left_out.append(LeftOut(name, f"{path}, line {number}: a second transcript of the same id"))
            elif name:
                texts[name] = " ".join(words)
    return texts, left_out


def _problem(text: str | None, audio: Path | None, folder: Path) -> str | None:
    if audio is None:
        return f"a transcript without audio (no .flac or .wav of that name under {folder})"
    if text is None:
        return f"{audio}: audio without a transcript"
    if not text:
        return f"{audio}: its transcript is empty"
    return None
