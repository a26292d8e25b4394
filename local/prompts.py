"""Debian's telephone prompts for Asterisk in a language as a small corpus, for stage 0.

    python local/prompts.py --out DIR                    (fetched with apt-get, unpacked with dpkg; no root needed)
    python local/prompts.py --out DIR --language fr      (French; also es, it and ru)
    python local/prompts.py --out DIR --sounds-dir DIR   (a folder that has the WAV files and core-sounds-en.txt.gz)

One speaker a language, 8 kHz, about 0.4 hours, CC BY-SA 3.0 (Italian and Russian CC BY 3.0). DIR gets train, dev and
test.jsonl.gz, vocabulary.txt (the words of all prompts: a telephone application knows what may be said) and lm_text.txt
(the prompts of train alone).
"""

import gzip
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import click

from asrkd.corpus.cache import cache_folder
from asrkd.corpus.cuts import SPLITS, make_cut, write_cuts
from asrkd.corpus.header import mono_header
from asrkd.corpus.left_out import LeftOut, write_left_out
from asrkd.corpus.prompts import Prompt, read_prompts, split_prompts
from asrkd.corpus.spoken import LANGUAGES, Language, find_language
from asrkd.errors import UserError
from asrkd.files import write_text

A_PROMPT = "hello-world.wav"  # whose folder is the one that the names in the transcripts are relative to


def packages(language: Language) -> tuple[str, str]:
    """The sounds and the transcripts."""
    return f"asterisk-core-sounds-{language.code}-wav", f"asterisk-core-sounds-{language.code}"


def mend(language: Language) -> str:
    core = f"core-sounds-{language.code}"
    return f"--sounds-dir names a folder with the WAV files of Asterisk's {core} and its {core}.txt(.gz)"


def fetch(folder: Path, language: Language) -> Path:
    """Downloads the packages into `folder` and unpacks them there, once. Raises UserError when that cannot be done."""
    unpacked = folder / "unpacked"
    if unpacked.is_dir():
        return unpacked
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise UserError(f"the prompts cannot be fetched: no {tool} on this machine; {mend(language)}")
    names = packages(language)
    print(f"fetch {' and '.join(names)} (about 20 MB) into {folder}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    failure = _run(["apt-get", "download", *names], folder)
    if failure is not None:
        # Machines without package lists (fresh containers), or with stale ones. Lists of our own need no root.
        print(f"apt-get download failed ({failure}); apt-get update into {folder / 'apt'}", flush=True)
        own = _own_state(folder / "apt")
        failure = _run(["apt-get", *own, "update"], folder) or _run(["apt-get", *own, "download", *names], folder)
    if failure is not None:
        raise UserError(f"the prompts cannot be fetched: {failure}; {mend(language)}")
    partial = folder / f"unpacked.{os.getpid()}"
    for package in names:
        for deb in folder.glob(f"{package}_*.deb"):
            failure = _run(["dpkg", "-x", str(deb), str(partial)], folder)
            if failure is not None:
                raise UserError(f"{deb} cannot be unpacked: {failure}; delete it, or {mend(language)}")
    try:
        partial.rename(unpacked)
    except OSError:
        if not unpacked.is_dir():
            raise
        shutil.rmtree(partial)  # another call was quicker; its files are the same
    return unpacked


def _own_state(folder: Path) -> list[str]:
    """Options that make apt-get keep its package lists and caches in `folder`."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}"]


def _run(command: list[str], folder: Path) -> str | None:
    """None when the command succeeds, else its last line of complaint."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg"))]
    return (complaints or done.stderr.splitlines() or [f"{command[0]} ended with {done.returncode}"])[-1]


def find_sounds(folder: Path, language: Language) -> tuple[Path, str]:
    """The folder that the prompts' names are relative to, and the text of the transcripts' file."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {mend(language)}")
    names = (f"core-sounds-{language.code}.txt.gz", f"core-sounds-{language.code}.txt")
    lists = [path for name in names for path in sorted(folder.rglob(name))]
    known = [path for path in sorted(folder.rglob(A_PROMPT)) if not _of_another(path.parent, language)]
    if not lists or not known:
        missing = " and ".join([*([] if lists else [names[0]]), *([] if known else [A_PROMPT])])
        raise UserError(f"{folder}: expected Asterisk's {language.name} prompts, found no {missing}; {mend(language)}")
    read = gzip.open if lists[0].suffix == ".gz" else open
    try:
        with read(lists[0], "rt", encoding="utf-8-sig") as file:
            return known[0].parent.absolute(), file.read()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{lists[0]}: expected 'name: text' lines, found {error}; {mend(language)}") from None


def _of_another(sounds: Path, language: Language) -> bool:
    """Whether the folder is named as one of another language's is: a machine's /usr/share may have several."""
    return sounds.name.split("_")[0] in LANGUAGES.keys() - {language.code}


def with_audio(prompts: list[Prompt], sounds: Path) -> tuple[list[Prompt], list[LeftOut]]:
    """The prompts whose WAV file can be read and is mono, and the others with the reason."""
    good, left_out = [], []
    for prompt in prompts:
        path = sounds / f"{prompt.name}.wav"
        try:
            mono_header(path)
            good.append(prompt)
        except UserError as error:
            left_out.append(LeftOut(prompt.name, str(error)))
    return good, left_out


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Gets the cut sets and the texts.")
@click.option("--language", "code", default="en", help=f"One of {', '.join(LANGUAGES)} (en).")
@click.option("--sounds-dir", type=click.Path(path_type=Path), help="A folder that has the prompts already.")
def main(out: Path, code: str, sounds_dir: Path | None) -> None:
    """Write the cut sets, the vocabulary and the text of Asterisk's prompts in a language."""
    language = find_language(code)
    cache = cache_folder() / ("prompts" if code == "en" else f"prompts-{code}")
    sounds, transcripts = find_sounds(sounds_dir or fetch(cache, language), language)
    prompts, left_out = with_audio(read_prompts(transcripts, language), sounds)
    splits = split_prompts(prompts)
    for split in SPLITS:
        cuts = []
        for prompt in splits[split]:
            path = sounds / f"{prompt.name}.wav"
            header = mono_header(path)
            name = prompt.name.replace("/", "-")
            cuts.append(make_cut(name, path, header.sample_rate, header.samples, "asterisk", prompt.text))
        write_cuts(out / f"{split}.jsonl.gz", cuts)
        minutes = sum(cut.duration for cut in cuts) / 60
        print(f"{out / split}.jsonl.gz: {len(cuts)} prompts, {minutes:.1f} minutes")
    words = sorted({word for prompt in prompts for word in prompt.text.split()})
    write_text(out / "vocabulary.txt", "".join(f"{word}\n" for word in words))
    write_text(out / "lm_text.txt", "".join(f"{prompt.text}\n" for prompt in splits["train"]))
    write_left_out(out / "left_out.jsonl", left_out)
    for item in left_out:
        print(f"left out: {item.id}: {item.why}")


if __name__ == "__main__":
    try:
        main()
    except (UserError, OSError) as error:  # a full disk, a folder that cannot be written: the message names the file
        sys.exit(f"error: {error}")
