"""Configs: defaults, files, overrides, and the errors of each."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pytest

from asrkd.config import Config, section
from asrkd.errors import UserError
from asrkd.settings import load_config, save_config


def test_files_then_overrides(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: {hidden_size: 64, hidden_layers: 2}\n")
    (tmp_path / "b.yaml").write_text("model: {hidden_size: 32}\n")
    config = load_config(tmp_path / "a.yaml", tmp_path / "b.yaml", overrides=["distill.temperatures=[1,5]"])
    assert (config.model.hidden_size, config.model.hidden_layers) == (32, 2)
    assert config.distill.temperatures == [1.0, 5.0]


def test_saved_config_is_read_back(tmp_path: Path) -> None:
    config = load_config(overrides=["ensemble.members=3", "data.train=x=y.jsonl"])
    save_config(config, tmp_path / "config.yaml")
    assert asdict(load_config(tmp_path / "config.yaml")) == asdict(config)
    assert config.data.train == "x=y.jsonl"


PATHS = [
    "h #1",
    "q's: x",
    '"q"',
    "a, b",
    "[x",
    "{x}",
    "null",
    "1e3",
    "2020-01-01",
    "on",
    "~",
    "ü ",
    "w " * 80 + "w",
    "x: y",
]


@pytest.mark.parametrize("path", [*PATHS, ""])
def test_text_is_taken_as_it_is_and_kept(tmp_path: Path, path: str) -> None:
    config = load_config(overrides=["lang.lm=set before", f"lang.lm={path}"])
    assert config.lang.lm == path
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml").lang.lm == path


def test_defaults_are_valid() -> None:
    assert load_config() == Config()


@pytest.mark.parametrize("recipe", sorted(Path(__file__).parents[1].glob("recipes/*/conf/*.yaml")), ids=str)
def test_the_recipes_configs_are_valid(recipe: Path) -> None:
    load_config(recipe)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hiden_size=3", "hiden_size"),
        ("model.hidden_size=wide", "hidden_size|wide"),
        ("hidden_size", "expected section.key=value"),
        ("distill.hard_weight=1.5", r"distill.hard_weight=1.5 \(expected 0 to 1\)"),
        ("limited.hard_weight=1", r"limited\.hard_weight=1.* 0 to below 1"),
        ("limited.shares=[2]", "limited.shares"),
        ("limited.shares=[0.1,0.1]", r"limited.shares=\[0.1, 0.1\] \(expected distinct ones, found .*hard-10"),
        ("limited.shares=[0.03,0.03000001]", "distinct"),
        ("distill.temperatures=[2,2.0]", r"distinct ones, found \['student-T2', 'student-T2'\]"),
        ("distill.seed=9", r"distill.seed=9 .expected seeds beside the 10 of the members from ensemble.seed=1 on"),
        ("ensemble.seed=102", "distill.seed=101 .expected seeds beside"),
        ("distill.students=0", r"distill.students=0 \(expected at least 1\)"),
        ("distill.temperatures={a: 1}", "distill.temperatures={a: 1}: .*asrkd/config.py"),
        ("distill.temperatures=[1,0]", "above 0"),
        ("data.max_left_out=5", "0 to 1"),
        ("features.sample_rate=0", "features.sample_rate"),
        ("features.num_mel_bins=0", "at least 4"),
        ("features.num_mel_bins=3", "at least 4"),
        ("features.frame_shift=0", "at least one sample"),
        ("features.frame_length=0", "at least two samples"),
        ("features.high_freq=8001", "at most 8000, half of features.sample_rate"),
        ("features.high_freq=-8000", "features.high_freq"),
        ("features.low_freq=8000", "0 to below 8000"),
        ("features.low_freq=-1", "0 to below 8000"),
        ("model.hidden_layers=-1", "0 or more"),
        ("model.hidden_size=0", "at least 1"),
        ("model.left=-1", "0 or more frames"),
        ("model.right=-1", "0 or more frames"),
        ("train.learning_rate=-1", "above 0"),
        ("train.learning_rate=.nan", "a finite number"),
        ("distill.temperatures=[2,.inf]", r"distill\.temperatures=inf .expected a finite number"),
        ("features.frame_length=.inf", "a finite number"),
        ("decode.insertion_penalties=[.nan]", "a finite number"),
        ("limited.seed=9999999999999999999", f"limited.seed=9999999999999999999 .expected below {2**62}"),
        ("distill.speeds=[0.9,0.9000001]", "distinct ones"),
        ("train.optimizer=adam", r"train\.optimizer=adam \(expected sgd or adamw"),
        ("distill.learning_rate=-1", r"distill\.learning_rate=-1.* 0 \(train\.learning_rate\) or more"),
        ("train.weight_decay=-1", "0 or more"),
        ("train.epochs=0", "at least 1"),
        ("train.keep=first", "best or last"),
        ("train.max_norm=-1", "0 .no limit. or more"),
        ("train.jitter=2", "0, or pixels of a square features.num_mel_bins with model.left=0"),
        ("model.input_dropout=1", "0 to 0.9"),
        ("distill.hidden_layers=-1", "0 .the members'. or more"),
        ("distill.hidden_size=-1", "0 .the members'. or more"),
        ("distill.epochs=0", "at least 1"),
        ("distill.weight_decay=-1", "0 or more"),
        ("train.epoch_frames=-1", "0 .the data once. or more"),
        ("lang.vocabulary_size=0", "at least 1"),
        ("lang.lm_prune=[1,0]", "each at least the one before it"),
        ("lang.lm_prune=[-1]", "counts of 0 or more"),
        ("lang.lm_unit=bpe", "lang.lm_unit=bpe .expected word, or bpe:N"),
        ("lang.lm_unit=bpe:100", "expected word, unless lang.lexicon=graphemic says how pieces sound"),
        ("lang.rescore_order=1", "0 .no second model. or 2 to 6"),
        ("lang.rescore_prune=[1,0]", "each at least the one before it"),
        ("align.monophone_gaussians=0", "at least 1"),
        ("align.tied_gaussians=0", "at least 1"),
        ("decode.acoustic_scale=0", "above 0"),
        ("decode.search_beam=0", "above 0"),
        ("decode.lattice_beam=-1", "above 0"),
        ("decode.min_active=-1", "0 or more"),
        ("decode.max_active=0", "more than decode.min_active, 30"),
        ("decode.lm_scales=[-1]", "0 or more"),
        ("lang.lm=${nothing}", "config: .*'nothing' not found"),
    ],
)
def test_wrong_override(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(overrides=[override])


@pytest.mark.parametrize(
    "override",
    [
        "features.high_freq=8000",
        "features.high_freq=-200",
        "lang.lm_prune=[]",
        "lang.lm_prune=[1,1,2]",
        "limited.shares=[]",
        "limited.shares=[0.03,0.0301]",
        "distill.temperatures=[2,1]",
        "model.left=0",
    ],
)
def test_right_override(override: str) -> None:
    load_config(overrides=[override])


@pytest.mark.parametrize(
    ("override", "good"),
    [
        ("train.jitter=2", True),
        ("train.jitter=-1", False),
        ("features.num_mel_bins=783", False),
        ("model.left=1", False),
    ],
)
def test_images_alone_are_moved(override: str, good: bool) -> None:
    image = ["features.num_mel_bins=784", "model.left=0", "model.right=0", "train.jitter=1"]
    with nullcontext() if good else pytest.raises(UserError, match=r"train\.jitter="):
        load_config(overrides=[*image, override])


@pytest.mark.parametrize("own", ["lang.lm", "lang.rescore_lm"])
def test_a_second_model_is_estimated_or_given(own: str) -> None:
    with pytest.raises(UserError, match=rf"lang.rescore_order=4 \(expected 0 beside {own};"):
        load_config(overrides=["lang.rescore_order=4", f"{own}=lm.arpa"])
    load_config(overrides=["lang.lm=lm.arpa", "lang.rescore_lm=large.arpa"])
    with pytest.raises(UserError, match="lang.more_lm_texts=.*none beside lang.lm"):
        load_config(overrides=["lang.lm=lm.arpa", "lang.more_lm_texts=[a.txt]"])


def test_pieces_of_words_stand_alone() -> None:
    pieces = ["lang.lexicon=graphemic", "lang.lm_unit=unigram:500"]
    load_config(overrides=pieces)
    for other in ("lang.lm", "lang.vocabulary"):
        with pytest.raises(UserError, match=rf"lang.lm_unit=unigram:500 \(expected word beside {other}"):
            load_config(overrides=[*pieces, f"{other}=file"])


def test_all_values_out_of_range_are_named_at_once() -> None:
    with pytest.raises(UserError, match=r"ensemble\.members=0.*lm_order=9.*run\.jobs=-1"):
        load_config(overrides=["ensemble.members=0", "lang.lm_order=9", "run.jobs=-1"])


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file"):
        load_config(tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_text("model: [")
    with pytest.raises(UserError, match=r"bad\.yaml"):
        load_config(tmp_path / "bad.yaml")
    for content in (b"- 1\n", b"3\n", b"\xff\xfe\xfa", b"lang: {lm: '${nothing}'}\n"):
        (tmp_path / "bad.yaml").write_bytes(content)
        with pytest.raises(UserError):
            load_config(tmp_path / "bad.yaml")


def test_section_takes_parts_by_name() -> None:
    assert section(Config(), "train.batch_size", "ensemble") == {
        "train.batch_size": Config().train.batch_size,
        "ensemble": asdict(Config().ensemble),
    }
