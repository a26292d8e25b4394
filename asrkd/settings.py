"""The config as YAML files and `key=value` overrides, and the check of its values."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.files import write_text
from asrkd.systems import limited_name, student_name

LM_UNIT = re.compile(r"word|(bpe|unigram):[1-9][0-9]{1,5}", re.ASCII)
SEEDS = 2**62  # those of a run's nets are counted from its seed, and torch takes no more than 64 bits
KEYS = "the keys and defaults are in asrkd/config.py"


def load_config(*files: Path, overrides: list[str] | None = None) -> Config:
    """Defaults, then the YAML files in turn, then `section.key=value` overrides.

    Where text is expected, all that stands after the first `=` is that text, as it is; other values are YAML.
    Raises UserError on a missing file, an unknown key or a value of the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    # OmegaConf raises TypeError for a list where keys are expected, and OSError for a file of one number.
    wrong = (OmegaConfBaseException, YAMLError, TypeError, OSError, UnicodeDecodeError)
    merged = OmegaConf.structured(Config)
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: no such config file; --conf names a YAML file")
        try:
            merged = OmegaConf.merge(merged, OmegaConf.load(file))
        except wrong as error:
            raise UserError(
                f"{file}: expected a YAML file of sections with keys and values, found: {_first_line(error)}; {KEYS}"
            ) from None
    for override in overrides or []:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"{override}: expected section.key=value, for example ensemble.members=3")
        try:
            if _is_text(key):  # a path may hold what YAML takes for a comment or a quote
                OmegaConf.update(merged, key, value)
            else:
                merged = OmegaConf.merge(merged, OmegaConf.from_dotlist([override]))
        except wrong as error:
            raise UserError(f"{override}: {_first_line(error)}; {KEYS}") from None
    try:
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:  # ${...} refers to another value
        raise UserError(f"config: {_first_line(error)}; {KEYS}") from None
    if not isinstance(config, Config):
        raise TypeError("OmegaConf did not give the config's dataclass back")
    validate(config)
    return config


def validate(config: Config) -> None:
    """Raises UserError with every value that is out of range, all at once."""
    wrong = []

    def expect(good: bool, key: str, value: object, rule: str) -> None:
        if not good:
            wrong.append(f"{key}={value} (expected {rule})")

    for key, value in _numbers(asdict(config)):
        expect(isinstance(value, int) or math.isfinite(value), key, value, "a finite number")
        expect(not key.endswith(".seed") or value < SEEDS, key, value, f"below {SEEDS}")
    if wrong:  # of which the rest would make sums
        raise UserError("config: " + "; ".join(wrong))

    c = config
    expect(0 <= c.data.max_left_out <= 1, "data.max_left_out", c.data.max_left_out, "a share, 0 to 1")
    f = c.features
    nyquist = f.sample_rate / 2
    highest = f.highest_freq
    expect(f.sample_rate >= 1, "features.sample_rate", f.sample_rate, "at least 1")
    expect(f.num_mel_bins >= 4, "features.num_mel_bins", f.num_mel_bins, "at least 4")
    expect(f.frame_length * f.sample_rate >= 2000, "features.frame_length", f.frame_length, "at least two samples")
    expect(f.frame_shift * f.sample_rate >= 1000, "features.frame_shift", f.frame_shift, "at least one sample")
    expect(0 <= f.low_freq < highest, "features.low_freq", f.low_freq, f"0 to below {highest:g}, the highest frequency")
    expect(
        0 < highest <= nyquist,
        "features.high_freq",
        f.high_freq,
        f"at most {nyquist:g}, half of features.sample_rate, or down to an offset of -{nyquist:g} from it",
    )
    expect(2 <= c.align.num_pdfs < 65535, "align.num_pdfs", c.align.num_pdfs, "2 to 65534")
    expect(c.ensemble.members >= 1, "ensemble.members", c.ensemble.members, "at least 1")
    expect(0 <= c.distill.hard_weight <= 1, "distill.hard_weight", c.distill.hard_weight, "0 to 1")
    expect(bool(c.distill.temperatures), "distill.temperatures", c.distill.temperatures, "at least one")
    expect(all(t > 0 for t in c.distill.temperatures), "distill.temperatures", c.distill.temperatures, "above 0")
    expect(c.distill.students >= 1, "distill.students", c.distill.students, "at least 1")
    expect(0 <= c.limited.hard_weight < 1, "limited.hard_weight", c.limited.hard_weight, "0 to below 1")
    expect(all(0 < s < 1 for s in c.limited.shares), "limited.shares", c.limited.shares, "above 0 and below 1")
    # Two models of one name would be trained in the same folder.
    students = [student_name(t) for t in c.distill.temperatures]
    expect(_distinct(students), "distill.temperatures", c.distill.temperatures, f"distinct ones, found {students}")
    limited = [limited_name("hard", share) for share in c.limited.shares]
    expect(_distinct(limited), "limited.shares", c.limited.shares, f"distinct ones, found {limited}")
    expect(2 <= c.lang.lm_order <= 6, "lang.lm_order", c.lang.lm_order, "2 to 6")
    expect(c.lang.vocabulary_size >= 1, "lang.vocabulary_size", c.lang.vocabulary_size, "at least 1")
    gaussians = c.align.monophone_gaussians
    expect(gaussians >= 1, "align.monophone_gaussians", gaussians, "at least 1")
    expect(c.align.tied_gaussians >= 1, "align.tied_gaussians", c.align.tied_gaussians, "at least 1")
    expect(c.align.monophone_passes >= 4, "align.monophone_passes", c.align.monophone_passes, "at least 4")
    expect(c.align.tied_passes >= 3, "align.tied_passes", c.align.tied_passes, "at least 3")
    expect(c.model.hidden_layers >= 0, "model.hidden_layers", c.model.hidden_layers, "0 or more")
    expect(c.model.hidden_size >= 1, "model.hidden_size", c.model.hidden_size, "at least 1")
    expect(c.model.left >= 0, "model.left", c.model.left, "0 or more frames")
    expect(c.model.right >= 0, "model.right", c.model.right, "0 or more frames")
    expect(0 <= c.model.dropout <= 0.9, "model.dropout", c.model.dropout, "0 to 0.9")
    expect(0 <= c.model.input_dropout <= 0.9, "model.input_dropout", c.model.input_dropout, "0 to 0.9")
    expect(0 <= c.distill.dropout <= 0.9, "distill.dropout", c.distill.dropout, "0 to 0.9")
    expect(c.distill.tail in ("lump", "even", "drop"), "distill.tail", c.distill.tail, "lump, even or drop")
    expect(c.distill.top_k >= 0, "distill.top_k", c.distill.top_k, "0 (all pdfs) or more")
    expect(c.train.batch_size >= 1, "train.batch_size", c.train.batch_size, "at least 1")
    expect(c.train.epochs >= 1, "train.epochs", c.train.epochs, "at least 1")
    expect(c.train.epoch_frames >= 0, "train.epoch_frames", c.train.epoch_frames, "0 (the data once) or more")
    for key, speeds in (("train.speeds", c.train.speeds), ("distill.speeds", c.distill.speeds)):
        expect(bool(speeds) and all(0.5 <= s <= 2 for s in speeds), key, speeds, "at least one, each 0.5 to 2")
    expect(_distinct([f"{s:g}" for s in c.distill.speeds]), "distill.speeds", c.distill.speeds, "distinct ones")
    square = math.isqrt(f.num_mel_bins) ** 2 == f.num_mel_bins
    image = square and c.model.left == c.model.right == 0 and c.train.speeds == c.distill.speeds == [1.0]
    images = (
        "0, or pixels of a square features.num_mel_bins with model.left=0 model.right=0 train.speeds=[1.0] "
        "distill.speeds=[1.0]"
    )
    expect(c.train.jitter == 0 or (c.train.jitter > 0 and image), "train.jitter", c.train.jitter, images)
    expect(c.train.keep in ("best", "last"), "train.keep", c.train.keep, "best or last")
    expect(c.train.max_norm >= 0, "train.max_norm", c.train.max_norm, "0 (no limit) or more")
    for key, optimizer in (("train.optimizer", c.train.optimizer), ("distill.optimizer", c.distill.optimizer)):
        expect(optimizer in ("sgd", "adamw"), key, optimizer, "sgd or adamw")
    expect(c.train.learning_rate > 0, "train.learning_rate", c.train.learning_rate, "above 0")
    expect(c.train.weight_decay >= 0, "train.weight_decay", c.train.weight_decay, "0 or more")
    expect(0 <= c.train.momentum < 1, "train.momentum", c.train.momentum, "0 to below 1")
    expect(c.ensemble.seed >= 0, "ensemble.seed", c.ensemble.seed, "0 or more")
    expect(c.distill.hidden_layers >= 0, "distill.hidden_layers", c.distill.hidden_layers, "0 (the members') or more")
    expect(c.distill.hidden_size >= 0, "distill.hidden_size", c.distill.hidden_size, "0 (the members') or more")
    expect(c.distill.epochs >= 1, "distill.epochs", c.distill.epochs, "at least 1")
    rate = c.distill.learning_rate
    expect(rate >= 0, "distill.learning_rate", rate, "0 (train.learning_rate) or more")
    expect(c.distill.weight_decay >= 0, "distill.weight_decay", c.distill.weight_decay, "0 or more")
    expect(c.distill.seed >= 0, "distill.seed", c.distill.seed, "0 or more")
    expect(c.distill.folds == 0 or c.distill.folds >= 2, "distill.folds", c.distill.folds, "0 (no folds) or 2 or more")
    expect(c.distill.fold_members >= 1, "distill.fold_members", c.distill.fold_members, "at least 1")
    # A student that starts and is shuffled as a member is no independent run. MNIST has runs of its own.
    runs = max(c.distill.students, c.mnist.runs)
    apart = c.ensemble.seed + c.ensemble.members <= c.distill.seed or c.distill.seed + runs <= c.ensemble.seed
    members = f"seeds beside the {c.ensemble.members} of the members from ensemble.seed={c.ensemble.seed} on"
    expect(apart, "distill.seed", c.distill.seed, members)
    expect(c.mnist.dev >= 1, "mnist.dev", c.mnist.dev, "at least 1")
    expect(c.mnist.runs >= 1, "mnist.runs", c.mnist.runs, "at least 1")
    sizes, temperatures = c.mnist.sweep_sizes, c.mnist.sweep_temperatures
    expect(all(s >= 1 for s in sizes) and _distinct(sizes), "mnist.sweep_sizes", sizes, "distinct ones of 1 or more")
    swept = _distinct([student_name(t) for t in temperatures]) and all(t > 0 for t in temperatures)
    expect(swept, "mnist.sweep_temperatures", temperatures, "distinct ones above 0")
    expect(c.mnist.sweep_epochs >= 1, "mnist.sweep_epochs", c.mnist.sweep_epochs, "at least 1")
    expect(c.limited.seed >= 0, "limited.seed", c.limited.seed, "0 or more")
    special = c.specialists
    expect(special.count >= 1, "specialists.count", special.count, "at least 1")
    expect(special.pdfs >= 1, "specialists.pdfs", special.pdfs, "at least 1")
    expect(special.epochs >= 1, "specialists.epochs", special.epochs, "at least 1")
    expect(special.learning_rate > 0, "specialists.learning_rate", special.learning_rate, "above 0")
    expect(0 <= special.hard_weight < 1, "specialists.hard_weight", special.hard_weight, "0 to below 1")
    expect(special.temperature > 0, "specialists.temperature", special.temperature, "above 0")
    expect(special.seed >= 0, "specialists.seed", special.seed, "0 or more")
    expect(c.decode.decoder in ("k2", "kaldi"), "decode.decoder", c.decode.decoder, "k2 or kaldi")
    expect(c.decode.acoustic_scale > 0, "decode.acoustic_scale", c.decode.acoustic_scale, "above 0")
    expect(c.decode.search_beam > 0, "decode.search_beam", c.decode.search_beam, "above 0")
    expect(c.decode.lattice_beam > 0, "decode.lattice_beam", c.decode.lattice_beam, "above 0")
    expect(c.decode.min_active >= 0, "decode.min_active", c.decode.min_active, "0 or more")
    least = f"more than decode.min_active, {c.decode.min_active}"
    expect(c.decode.max_active > c.decode.min_active, "decode.max_active", c.decode.max_active, least)
    expect(bool(c.decode.lm_scales), "decode.lm_scales", c.decode.lm_scales, "at least one")
    expect(all(s >= 0 for s in c.decode.lm_scales), "decode.lm_scales", c.decode.lm_scales, "0 or more")
    expect(
        bool(c.decode.insertion_penalties), "decode.insertion_penalties", c.decode.insertion_penalties, "at least one"
    )
    expect(c.decode.n_best >= 1, "decode.n_best", c.decode.n_best, "at least 1")
    weights = c.decode.second_weights
    expect(bool(weights) and all(0 <= w <= 1 for w in weights), "decode.second_weights", weights, "some, 0 to 1 each")
    for name, order in (("lm", c.lang.lm_order), ("rescore", c.lang.rescore_order)):
        prune = getattr(c.lang, f"{name}_prune")
        expect(len(prune) <= order or not order, f"lang.{name}_prune", prune, f"at most {name}_order counts")
        rising = prune == sorted(prune) and min(prune, default=0) >= 0
        expect(rising, f"lang.{name}_prune", prune, "counts of 0 or more, each at least the one before it")
    more = c.lang.more_lm_texts
    expect(not (more and c.lang.lm), "lang.more_lm_texts", more, "none beside lang.lm, which no text is mixed with")
    unit = c.lang.lm_unit
    expect(bool(LM_UNIT.fullmatch(unit)), "lang.lm_unit", unit, "word, or bpe:N or unigram:N of N pieces, 10 or more")
    if unit != "word":
        graphemic = "word, unless lang.lexicon=graphemic says how pieces sound"
        expect(c.lang.lexicon == "graphemic", "lang.lm_unit", unit, graphemic)
        expect(not c.lang.lm, "lang.lm_unit", unit, "word beside lang.lm, whose words are known")
        expect(not c.lang.vocabulary, "lang.lm_unit", unit, "word beside lang.vocabulary: pieces make any word")
    order = c.lang.rescore_order
    expect(order == 0 or 2 <= order <= 6, "lang.rescore_order", order, "0 (no second model) or 2 to 6")
    own = "lang.lm" if c.lang.lm else "lang.rescore_lm" if c.lang.rescore_lm else ""
    expect(not (order and own), "lang.rescore_order", order, f"0 beside {own}; a second model is lang.rescore_lm's")
    expect(c.features.dtype in ("float16", "float32"), "features.dtype", c.features.dtype, "float16 or float32")
    expect(
        c.train.precision in ("auto", "bfloat16", "float32"),
        "train.precision",
        c.train.precision,
        "auto, bfloat16 or float32",
    )
    expect(c.run.engine in ("loky", "ray", "dask"), "run.engine", c.run.engine, "loky, ray or dask")
    expect(c.run.device in ("auto", "cpu", "cuda"), "run.device", c.run.device, "auto, cpu or cuda")
    expect(c.run.jobs >= 0, "run.jobs", c.run.jobs, "0 (one a core) or more")
    if wrong:
        raise UserError("config: " + "; ".join(wrong))


def save_config(config: Config, path: Path) -> None:
    from omegaconf import OmegaConf

    write_text(path, OmegaConf.to_yaml(OmegaConf.structured(config)))


def _numbers(sections: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """section.key -> each number that it has, in lists too."""
    for section, keys in sections.items():
        for key, value in keys.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, int | float):
                    yield f"{section}.{key}", item


def _is_text(key: str) -> bool:
    section, _, name = key.partition(".")
    return isinstance(asdict(Config()).get(section, {}).get(name), str)


def _distinct(names: Sequence[object]) -> bool:
    return len(set(names)) == len(names)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
