"""A tree in LibriSpeech's layout: SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and an audio file an utterance."""

from pathlib import Path

from lhotse import CutSet, MonoCut

from asrkd.corpus.cuts import make_cut
from asrkd.corpus.header import mono_header
from asrkd.corpus.left_out import LeftOut
from asrkd.errors import UserError
from asrkd.progress import track


def read_librispeech(corpus_dir: Path, subset: str) -> tuple[CutSet, list[LeftOut]]:
    """The utterances of one subset in the order of their ids, and those left out, each with the reason.

    Left out are transcripts without audio in their folder, audio without a transcript, empty transcripts, ids that
    occur twice, audio whose header cannot be read and audio of several channels. Raises UserError when the folder is
    missing or holds no transcripts, naming what is there, and when a transcript is not UTF-8.
    """
    folder = subset_folder(corpus_dir, subset)
    transcripts, repeated = _transcripts(folder)
    left_out = [LeftOut(name, why) for (_, name), why in repeated.items()]
    # A .flac and a .wav of the same name are the same utterance: sorted, the .flac comes first and is kept.
    audio: dict[tuple[Path, str], Path] = {}
    for path in sorted([*folder.glob("*/*/*.flac"), *folder.glob("*/*/*.wav")]):
        audio.setdefault((path.parent, path.stem), path)
    if not transcripts:
        raise UserError(
            f"{folder}: expected SPEAKER/CHAPTER/*.trans.txt with audio beside it, found {len(audio)} audio files and "
            "no transcript; --corpus-dir names the folder that holds the subsets"
        )
    cuts = []
    for name, (chapter, text) in track(sorted(transcripts.items()), what=f"read {subset}", unit="utterances"):
        try:
            cuts.append(_cut(name, audio.pop((chapter, name), None), chapter, text))
        except UserError as error:
            left_out.append(LeftOut(name, str(error)))
    left_out += [
        LeftOut(_printable(name), _printable(f"{path}: audio without a transcript"))
        for (chapter, name), path in audio.items()
        if (chapter, name) not in repeated
    ]
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


def _transcripts(folder: Path) -> tuple[dict[str, tuple[Path, str]], dict[tuple[Path, str], str]]:
    """Id -> the folder that its audio is in, and its words; and (folder, id) -> why an id is not taken again."""
    texts: dict[str, tuple[Path, str]] = {}
    repeated = {}
    for path in sorted(folder.glob("*/*/*.trans.txt")):
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: expected UTF-8 text, found other bytes ({error.reason} at byte {error.start}); convert it, "
                f"from Latin-1 for example with: iconv -f latin1 -t utf-8 {path} > NEW"
            ) from None
        for number, line in enumerate(lines, 1):
            name, *words = line.split() or [""]  # also at tabs
            if name in texts:
                repeated[path.parent, name] = f"{path}, line {number}: a second transcript of the same id"
            elif name:
                texts[name] = path.parent, " ".join(words)
    return texts, repeated


def _cut(name: str, audio: Path | None, chapter: Path, text: str) -> MonoCut:
    """Raises UserError with the reason why there is none."""
    if audio is None:
        raise UserError(f"a transcript without audio (no .flac or .wav of that name in {chapter})")
    if not text:
        raise UserError(f"{audio}: its transcript is empty")
    header = mono_header(audio)
    return make_cut(name, audio, header.sample_rate, header.samples, chapter.parent.name, text)


def _printable(name: str) -> str:
    """Of a file whose name is not UTF-8."""
    return name.encode(errors="backslashreplace").decode()
