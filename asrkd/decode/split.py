"""The work of stage 9: a split decoded with a system."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asrkd.config import Config, RunConfig
from asrkd.corpus.cuts import read_cuts
from asrkd.decode.blocks import search_in_blocks
from asrkd.decode.graph_arrays import GraphArrays, open_graph
from asrkd.decode.lattice import Lattice, read_lattices
from asrkd.decode.paths import best_paths, n_best
from asrkd.decode.scales import SCALES, SECOND_LM, Point, Scales, choose, read_scales
from asrkd.decode.second_pass import Scored, best_text, scored
from asrkd.decode.words import spelling, units
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.features.store import FrameStore
from asrkd.files import read_json, write_json, write_jsonl
from asrkd.models.dnn import AcousticModel, load_model
from asrkd.systems import System
from asrkd.train.device import choose_device
from asrkd.train.forward import log_posteriors

HYPOTHESES, FIRST_PASS, N_BEST, REPORT = "hypotheses.jsonl", "first_pass.jsonl", "n_best.jsonl", "report.json"


def decode_system(exp: Path, config: Config, system: System, step: Step, run: RunConfig) -> None:
    """Fill the folder of a step that has begun, and finish the step. run: of the searches, as decode_split has it."""
    step.started = time.monotonic()  # the wait for a core is no decoding
    models = load_models(exp, system, config)
    dev, test = step.folder / "dev", step.folder / "test"
    if not (dev / SCALES).is_file():
        references = {cut.id: cut.supervisions[0].text for cut in read_cuts(exp / "data" / "dev.jsonl.gz")}
        features, what = exp / "features" / "dev", f"{system.name} on dev"
        decode_split(exp, config, models, features, dev, references=references, what=what, run=run)
    features, what = exp / "features" / "test", f"{system.name} on test"
    decode_split(exp, config, models, features, test, scales=read_scales(dev), what=what, run=run)
    scales = read_scales(test)
    made = [HYPOTHESES, SCALES, *([FIRST_PASS, N_BEST] if scales.second else [])]
    step.finish(f"{folder.name}/{name}" for folder in (dev, test) for name in made)
    wer = read_json(dev / SCALES)["wer"]
    speed = [read_json(folder / REPORT)["search_real_time_factor"] for folder in (dev, test)]
    print(
        f"{system.label}: {_told(scales)}, dev WER {100 * wer:.1f} %; search at {max(speed):.3f} times real time",
        flush=True,
    )


def _told(scales: Scales) -> str:
    point = scales.second or scales.first
    second = f"weight of the second LM {point.second_weight:g}, " if scales.second else ""
    return f"{second}LM scale {point.lm_scale:g}, insertion penalty {point.insertion_penalty:g}"


def load_models(exp: Path, system: System, config: Config) -> list[AcousticModel]:
    device = choose_device(config.run.device)
    return [load_model(exp / "models" / name)[0].to(device) for name in system.models]


def decode_split(
    exp: Path,
    config: Config,
    models: Sequence[AcousticModel],
    features: Path,
    folder: Path,
    *,
    scales: Scales | None = None,
    references: Mapping[str, str] | None = None,
    what: str,
    run: RunConfig | None = None,
) -> None:
    """Decode a FrameStore with the models' mean posterior and the graph and prior of `exp`, into `folder`.

    Writes hypotheses.jsonl, report.json and scales.json. Without `scales`, the points of config.decode's grid with the
    lowest WER against `references` (utterance id -> text) are taken. Where stage 2 made a model for a second pass, the
    hypotheses are its choice from n_best.jsonl, and first_pass.jsonl has those of the first. The folder `work` inside
    is removed at the end. run: among how many searches the utterances are shared; None is one.
    """
    decode = config.decode
    work = folder / "work"
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    store, log_prior = FrameStore.open(features), torch.from_numpy(np.log(prior(exp)).astype(np.float32))
    if len(log_prior) != models[0].num_pdfs:
        raise UserError(
            f"{features}: expected models of the alignment's {len(log_prior)} pdfs, found {models[0].num_pdfs}; "
            "train them again"
        )
    acoustic_scale = decode.acoustic_scale if scales is None else scales.acoustic_scale
    settings = {
        "graph": str((exp / "graph").resolve()),
        "acoustic_scale": acoustic_scale,
        "beam": {
            "search": decode.search_beam,
            "lattice": decode.lattice_beam,
            "min_active": decode.min_active,
            "max_active": decode.max_active,
        },
    }
    stream = log_posteriors(models, store, precision=config.train.precision)
    loglikes = (log_p - log_prior for _, log_p in stream)
    folders, report = search_in_blocks(decode.decoder, settings, store, loglikes, len(log_prior), work, what, run)

    def lattices() -> Iterator[Lattice]:
        return chain.from_iterable(map(read_lattices, folders))

    graph, text_of = open_graph(exp / "graph"), spelling(exp / "graph")
    grid = [Point(scale, penalty) for scale in decode.lm_scales for penalty in decode.insertion_penalties]
    if scales is not None:
        grid = [scales.first]
    pairs = [(point.lm_scale, point.insertion_penalty) for point in grid]
    texts = [[text_of(words) for _, words in best_paths(graph, lattice, pairs)] for lattice in lattices()]
    best, notes = 0, dict[str, Any]()
    if scales is None:
        best, notes = choose(dict(zip(store.ids, texts, strict=True)), grid, references or {})
    chosen = [found[best] for found in texts]
    made_with = Scales(acoustic_scale, grid[best])
    if (exp / "lang" / SECOND_LM).is_file():
        _write_texts(folder / FIRST_PASS, store, chosen)
        lists = _n_best(exp, graph, lattices(), grid[best], decode.n_best)
        rows = zip(store.ids, lists, strict=True)
        write_jsonl(folder / N_BEST, ({"id": name, "n_best": list(map(asdict, found))} for name, found in rows))
        second = None if scales is None else scales.second
        if second is None:
            second, again = _choose_second(store, lists, grid, decode.second_weights, references or {})
            notes = {"first_pass": notes, **again}
        chosen = [best_text(found, second) for found in lists]
        made_with = replace(made_with, second=second)
    _write_texts(folder / HYPOTHESES, store, chosen)
    _report(folder, report, config.features.frame_shift, what)
    shutil.rmtree(work)
    # Last, since its presence says that the split is decoded.
    write_json(folder / SCALES, {**asdict(made_with), **notes})


def _n_best(exp: Path, graph: GraphArrays, lattices: Iterator[Lattice], point: Point, n: int) -> list[list[Scored]]:
    from asrkd.lang.scoring import sentence_scorer

    text_of, units_of = spelling(exp / "graph"), units(exp / "graph")
    first, second = sentence_scorer(exp / "lang" / "lm.arpa"), sentence_scorer(exp / "lang" / SECOND_LM)
    return [
        scored(n_best(graph, lattice, point.lm_scale, point.insertion_penalty, n), text_of, units_of, first, second)
        for lattice in lattices
    ]


def _choose_second(
    store: FrameStore,
    lists: Sequence[Sequence[Scored]],
    grid: Sequence[Point],
    weights: Sequence[float],
    references: Mapping[str, str],
) -> tuple[Point, dict[str, Any]]:
    """The point of the second pass, and the WER of all."""
    points = [replace(point, second_weight=weight) for point in grid for weight in weights]
    texts = {name: [best_text(found, point) for point in points] for name, found in zip(store.ids, lists, strict=True)}
    best, notes = choose(texts, points, references)
    return points[best], notes


def _write_texts(path: Path, store: FrameStore, texts: Sequence[str]) -> None:
    write_jsonl(path, ({"id": name, "text": text} for name, text in zip(store.ids, texts, strict=True)))


def prior(exp: Path) -> np.ndarray[Any, Any]:
    """(C,) of the training labels, from stage 3."""
    path = exp / "align" / "prior.npy"
    found = np.load(path, allow_pickle=False)
    if found.ndim != 1 or not (found > 0).all():  # nor nan
        raise UserError(f"{path}: expected a probability above 0 for each pdf, found {found.shape}; run stage 3 again")
    return found


def _report(folder: Path, search: dict[str, Any], frame_shift: float, what: str) -> None:
    seconds = max(search["frames"] * frame_shift / 1000, 1e-9)
    report = {
        **search,
        "audio_seconds": round(seconds, 2),
        "search_real_time_factor": round(search["search_seconds"] / seconds, 4),
    }
    write_json(folder / REPORT, report)
    if search["without_path"]:
        names = ", ".join(search["without_path"][:5])
        print(
            f"{what}: {len(search['without_path'])} utterances without a path through the graph, also at a wider beam, "
            f"count as empty: {names}",
            flush=True,
        )
