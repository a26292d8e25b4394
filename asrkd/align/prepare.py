"""Stage 3: labels for every frame of every split, and the prior."""

from pathlib import Path

from asrkd.align.labels import LABELS, LEFT_OUT
from asrkd.config import Config, section
from asrkd.corpus.cuts import SPLITS
from asrkd.experiment import Step, identity
from asrkd.files import hash_file, write_json

MODEL = ("pdfs.npy", "self_loop.npy", "gmm.safetensors", "gmm.json", "tree.json", "label_set.json", "prior.npy")


def align_corpus(exp: Path, config: Config, force: bool = False) -> None:
    """Train the aligner on EXP/features/train from a flat start and write EXP/align.

    Raises UserError when an input is missing, `align.num_pdfs` is below three a phone, or more utterances than
    `data.max_left_out` have no alignment.
    """
    identity(exp / "data", "stage 0")
    identity(exp / "lang", "stage 2")
    inputs = {f"features/{split}": identity(exp / "features" / split, "stage 1") for split in SPLITS}
    inputs |= {f"cuts of {split}": hash_file(exp / "data" / f"{split}.jsonl.gz") for split in SPLITS}
    # Not the whole of stage 2: another language model leaves the labels as they are.
    inputs |= {name: hash_file(exp / "lang" / name) for name in ("lexicon.txt", "phones.txt")}
    folder = exp / "align"
    step = Step(folder, made_by="stage 3", config=section(config, "align"), inputs=inputs, force=force)
    if not step.begin():
        return
    # Only now: they take seconds to import, and where nothing is to be done none are wanted.
    from asrkd.align.labelling import label, load_model, read_words, train, write_prior
    from asrkd.align.train import STATE

    words = read_words(exp / "lang")
    report = train(exp, folder, words, config)
    model = load_model(folder)
    for split in SPLITS:
        report[split] = label(
            model, exp / "features" / split, exp / "data" / f"{split}.jsonl.gz", folder / split, words, config
        )
    write_prior(folder)
    write_json(folder / "report.json", report)
    made = [f"{split}/{name}" for split in SPLITS for name in (LABELS, LEFT_OUT)]
    step.finish([*MODEL, *made])  # the report holds times: not part of what later stages depend on
    (folder / STATE).unlink(missing_ok=True)


def align_split(
    exp: Path, features_folder: Path, cuts_path: Path, out_folder: Path, config: Config, force: bool = False
) -> None:
    """Label another split with the aligner of a finished experiment: labels.npy, left_out.jsonl, report.json.

    Raises UserError as `align_corpus` does.
    """
    inputs = {"align": identity(exp / "align", "stage 3"), "features": identity(features_folder, "stage 1")}
    inputs["cuts"] = hash_file(cuts_path)
    step = Step(out_folder, made_by="stage 3", config={}, inputs=inputs, force=force)
    if not step.begin():
        return
    from asrkd.align.labelling import label, load_model, read_words

    words = read_words(exp / "lang")
    report = label(load_model(exp / "align"), features_folder, cuts_path, out_folder, words, config)
    write_json(out_folder / "report.json", report)
    step.finish([LABELS, LEFT_OUT])
