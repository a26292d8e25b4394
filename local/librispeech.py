"""Cut sets of LibriSpeech, mini LibriSpeech or any tree in their layout, for stage 0.

    python local/librispeech.py --out DIR --corpus-dir DIR --train train-clean-100 --dev dev-clean --test test-clean
    python local/librispeech.py --out DIR                   (mini LibriSpeech, downloaded)

Without --corpus-dir the subsets are downloaded through Lhotse. Mini LibriSpeech has no test set: where --test is not
given, every second speaker of --dev is the test set.
"""

import sys
import tarfile
from pathlib import Path

import click
from lhotse import CutSet
from lhotse.recipes.librispeech import LIBRISPEECH, MINI_LIBRISPEECH, download_librispeech

from asrkd.corpus.cache import cache_folder
from asrkd.corpus.cuts import write_cuts
from asrkd.corpus.left_out import LeftOut, check_left_out, write_left_out
from asrkd.corpus.librispeech import read_librispeech
from asrkd.errors import UserError
from asrkd.settings import load_config


def download(subsets: list[str], folder: Path) -> Path:
    """The corpus folder with these subsets in it; those that are there already are not downloaded again."""
    known = (*MINI_LIBRISPEECH, *LIBRISPEECH)
    unknown = [subset for subset in subsets if subset not in known]
    if unknown:
        raise UserError(
            f"{', '.join(unknown)}: no part of LibriSpeech to download (there are {', '.join(known)}); "
            "--corpus-dir names a folder with subsets of your own"
        )
    print(f"download {', '.join(subsets)} to {folder} (train-clean-5 is 0.3 GB, train-clean-100 6 GB)", flush=True)
    try:
        return Path(download_librispeech(folder, dataset_parts=subsets))
    except (OSError, tarfile.TarError) as error:  # urllib's errors are OSErrors
        raise UserError(
            f"LibriSpeech could not be downloaded to {folder} ({error}); "
            "--corpus-dir names a folder that has it, with --train, --dev and --test for the subsets in it"
        ) from None


def read_subsets(corpus_dir: Path, subsets: list[str], max_left_out: float) -> tuple[CutSet, list[LeftOut]]:
    cuts, left_out = [], []
    for subset in subsets:
        good, bad = read_librispeech(corpus_dir, subset)
        check_left_out(
            bad, len(good) + len(bad), max_left_out, what=str(corpus_dir / subset), option="data.max_left_out"
        )
        cuts += list(good)
        left_out += bad
    return CutSet.from_cuts(cuts), left_out


def halve(cuts: CutSet) -> tuple[CutSet, CutSet]:
    """Every second speaker, in the order of their names, on either side. Raises UserError when there is only one."""
    speakers = sorted({cut.supervisions[0].speaker for cut in cuts})
    if len(speakers) < 2:
        raise UserError(f"--test was not given and --dev has one speaker ({speakers[0]}) alone; name a --test")
    second = set(speakers[1::2])
    return (
        CutSet.from_cuts(cut for cut in cuts if cut.supervisions[0].speaker not in second),
        CutSet.from_cuts(cut for cut in cuts if cut.supervisions[0].speaker in second),
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Gets train, dev and test.jsonl.gz.")
@click.option("--corpus-dir", type=click.Path(path_type=Path), help="The folder that holds the subsets' folders.")
@click.option("--train", default="train-clean-5", show_default=True, help="Subsets, with commas between.")
@click.option("--dev", default="dev-clean-2", show_default=True, help="Subsets, with commas between.")
@click.option("--test", default="", help="Subsets, with commas between; without it, every second speaker of --dev.")
@click.option("--download-dir", type=click.Path(path_type=Path), default=cache_folder, help="Gets downloaded subsets.")
@click.option("--conf", type=click.Path(path_type=Path), help="The experiment's config, for data.max_left_out.")
def main(
    out: Path, corpus_dir: Path | None, train: str, dev: str, test: str, download_dir: Path, conf: Path | None
) -> None:
    """Write the cut sets of train, dev and test of a corpus in LibriSpeech's layout."""
    max_left_out = load_config(*([conf] if conf else [])).data.max_left_out
    named = {"train": train.split(","), "dev": dev.split(","), "test": test.split(",") if test else []}
    if corpus_dir is None:
        corpus_dir = download([*named["train"], *named["dev"], *named["test"]], download_dir)
    splits: dict[str, CutSet] = {}
    left_out: list[LeftOut] = []
    for split, subsets in named.items():
        splits[split], bad = read_subsets(corpus_dir, subsets, max_left_out)
        left_out += bad
    if not test:
        print("no --test: every second speaker of --dev is the test set", flush=True)
        splits["dev"], splits["test"] = halve(splits["dev"])
    for split, cuts in splits.items():
        write_cuts(out / f"{split}.jsonl.gz", cuts)
        print(f"{out / split}.jsonl.gz: {len(cuts)} utterances, {sum(cut.duration for cut in cuts) / 3600:.2f} hours")
    write_left_out(out / "left_out.jsonl", left_out)
    for item in left_out:
        print(f"left out: {item.id}: {item.why}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except (UserError, OSError) as error:  # a full disk, a folder that cannot be written: the message names the file
        sys.exit(f"error: {error}")
