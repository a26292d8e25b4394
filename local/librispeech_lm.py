"""LibriSpeech's published language models, for `--lm` and `lang.rescore_lm`.

    python local/librispeech_lm.py                        3-gram.pruned.3e-7: for the graph
    python local/librispeech_lm.py 4-gram                 over a gigabyte: for the second pass
    python local/librispeech_lm.py NAME --out DIR         3-gram.pruned.1e-7, 3-gram.pruned.3e-7, 3-gram or 4-gram

They were estimated from books of Project Gutenberg (Panayotov et al. 2015). The last line printed is the file's path. A
download that was broken off goes on where it stopped. DIR is a folder of the user's cache unless given.
"""

import gzip
import sys
import zlib
from pathlib import Path

import click
from lhotse.utils import resumable_download

from asrkd.corpus.cache import cache_folder
from asrkd.errors import UserError

SOURCE = "https://www.openslr.org/resources/11"
MODELS = ("3-gram.pruned.1e-7", "3-gram.pruned.3e-7", "3-gram", "4-gram")
BLOCK = 2**20  # bytes


def fetch(name: str, folder: Path, source: str = SOURCE) -> Path:
    """The model as a gzipped ARPA file in `folder`; one that is there is not downloaded again.

    Raises UserError when it cannot be downloaded, or is no whole gzip file.
    """
    file = folder / f"{name}.arpa.gz"
    if file.is_file():
        return file
    partial = folder / f"{file.name}.part"
    mend = f"{file.name} can be put into {folder} by hand, and --lm takes any ARPA file"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        resumable_download(f"{source}/{file.name}", partial)
    except OSError as error:  # urllib's errors are OSErrors
        raise UserError(f"{source}/{file.name} could not be downloaded to {folder} ({error}); {mend}") from None
    try:
        with gzip.open(partial) as text:
            while text.read(BLOCK):  # to the end, where its checksum stands
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        partial.unlink()
        raise UserError(f"{source}/{file.name}: expected a whole gzip file, found: {error}; run this again") from None
    partial.rename(file)
    return file


@click.command(help=__doc__)
@click.argument("name", type=click.Choice(MODELS), default="3-gram.pruned.3e-7")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where the file goes.")
def main(name: str, out: Path | None) -> None:
    print(fetch(name, out or cache_folder() / "librispeech-lm"))


if __name__ == "__main__":
    try:
        main()
    except (UserError, OSError) as error:  # a full disk, a folder that cannot be written: the message names the file
        sys.exit(f"error: {error}")
