"""Configs: defaults, files, overrides, and the errors of each."""

from dataclasses import asdict
from pathlib import Path

import pytest

from asrkd.config import Config, load_config, save_config, section
from asrkd.errors import UserError


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
        ("limited.shares=[2]", "limited.shares"),
    ],
)
def test_wrong_override(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config(overrides=[override])


def test_all_values_out_of_range_are_named_at_once() -> None:
    with pytest.raises(UserError, match=r"ensemble\.members=0.*lm_order=9.*run\.jobs=-1"):
        load_config(overrides=["ensemble.members=0", "lang.lm_order=9", "run.jobs=-1"])


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file"):
        load_config(tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_text("model: [")
    with pytest.raises(UserError, match=r"bad\.yaml"):
        load_config(tmp_path / "bad.yaml")


def test_section_takes_parts_by_name() -> None:
    assert section(Config(), "train.batch_size", "ensemble") == {
        "train.batch_size": Config().train.batch_size,
        "ensemble": asdict(Config().ensemble),
    }
