"""A report refuses a config that names other files or language settings than what it shows was made of."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asrkd.corpus.prepare import prepare_data
from asrkd.errors import UserError
from asrkd.lang.prepare import prepare_lang
from asrkd.report.made_with import expect_config
from tests.corpus.test_prepare import SIZES, corpus
from tests.lang.conftest import ARPA


def test_other_files_and_settings_of_the_language(tmp_path: Path) -> None:
    config, _ = corpus(tmp_path, SIZES)
    files = {"lexicon": "A AH\nB B IY\n", "lm": ARPA, "other": "A K\nB K\n", "text": "A B\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    config.lang.lexicon, config.lang.lm = str(tmp_path / "lexicon"), str(tmp_path / "lm")
    exp = tmp_path / "exp"
    prepare_data(exp, config)
    prepare_lang(exp, config)
    expect_config(exp, config)
    text = str(tmp_path / "text")
    changes: list[tuple[str, Any, str]] = [
        ("lexicon", str(tmp_path / "other"), "the input lexicon changed"),
        ("lexicon", "", "the input cmudict changed"),
        ("lexicon", "graphemic", "the input lexicon changed"),
        ("lm", "", "the input lm changed"),
        ("lm_text", text, "the input lm_text changed"),
        ("more_lm_texts", [text], "the input more_lm_texts.0. changed"),
        ("vocabulary", text, "the input vocabulary changed"),
        ("lm_order", 2, "lang.lm_order was 3, is 2"),
        ("rescore_order", 4, "lang.rescore_order was None, is 4"),
        ("lm_unit", "bpe:100", "lang.lm_unit was None, is bpe:100"),
    ]
    for key, value, message in changes:
        other = replace(config, lang=replace(config.lang, **{key: value}))
        with pytest.raises(UserError, match=rf"exp/lang: {message} since it was made; run stage 2 again"):
            expect_config(exp, other)
    (tmp_path / "dev.jsonl.gz").write_bytes((tmp_path / "test.jsonl.gz").read_bytes())
    with pytest.raises(UserError, match=r"exp/data: the input dev changed since it was made; run stage 0 again"):
        expect_config(exp, config)
    # What is no longer there cannot differ, and is not needed.
    for name in ("dev.jsonl.gz", "lexicon", "lm"):
        (tmp_path / name).unlink()
    expect_config(exp, config)
