"""The second pass by hand, and through stage 9 with a model that wants other words."""

import shutil
from pathlib import Path

import pytest

from asrkd.decode.paths import Hypothesis
from asrkd.decode.prepare import decode_systems
from asrkd.decode.scales import Point, read_scales
from asrkd.decode.second_pass import best_text, scored
from asrkd.files import read_jsonl
from asrkd.lang.scoring import sentence_scorer
from tests.decode.test_prepare import LENGTHS, exp, small_config

__all__ = ["exp"]


def test_scores_by_hand() -> None:
    hypotheses = [Hypothesis([1, 2], -3.0, -8.0), Hypothesis([2], -4.0, -5.0)]
    first, second = {"A B": -6.0, "B": -4.0}, {"A B": -2.0, "B": -7.0}
    names = {1: "A", 2: "B"}

    def text(words: list[int]) -> str:
        return " ".join(names[word] for word in words)

    found = scored(hypotheses, text, text, first.__getitem__, second.__getitem__)  # type: ignore[arg-type]
    assert [each.score(Point(1.0, 0.0)) for each in found] == [-11.0, -9.0]
    assert [each.score(Point(0.5, 1.0, 0.5)) for each in found] == pytest.approx([-3 - 4 + 1 - 2, -4 - 2.5 - 0.75 - 1])
    assert best_text(found, Point(1.0, 0.0)) == "B"
    assert best_text(found, Point(1.0, 0.0, 1.0)) == "A B"
    assert best_text([], Point(1.0, 0.0)) == ""


def write_arpa(path: Path, unigrams: dict[str, float], bigram: str, score: float) -> None:
    lines = ["\\data\\", f"ngram 1={len(unigrams) + 1}", "ngram 2=1", "", "\\1-grams:", "-99\t<s>\t-0.1"]
    lines += [f"{own}\t{word}" + ("" if word == "</s>" else "\t-0.2") for word, own in unigrams.items()]
    path.write_text("\n".join([*lines, "", "\\2-grams:", f"{score}\t{bigram}", "", "\\end\\", ""]))


def test_stage_9_chooses_from_the_lists(exp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("lang", "align", "features", "data", "models", "graph"):
        shutil.copytree(exp / part, tmp_path / part)
    write_arpa(tmp_path / "lang" / "rescore.bin", {"A": -0.1, "B": -9.0, "C": -9.0, "</s>": -0.5}, "A A", -0.1)
    # The graph's model again, with a bigram that changes nothing: KenLM reads no unigram models.
    write_arpa(tmp_path / "lang" / "lm.arpa", {"A": -0.6, "B": -0.6, "C": -0.6, "</s>": -0.6}, "A A", -0.8)
    config = small_config()
    config.decode.second_weights = [1.0]
    config.decode.acoustic_scale, config.decode.lattice_beam = 0.02, 100.0  # for lists of more than one
    decode_systems(tmp_path, config)
    first, second = sentence_scorer(tmp_path / "lang" / "lm.arpa"), sentence_scorer(tmp_path / "lang" / "rescore.bin")
    changed = False
    for split in LENGTHS:
        folder = tmp_path / "decode" / "member-01" / split
        point = read_scales(folder).second
        assert point is not None and point.second_weight == 1.0
        rows = {row["id"]: row["text"] for row in read_jsonl(folder / "hypotheses.jsonl")}
        before = {row["id"]: row["text"] for row in read_jsonl(folder / "first_pass.jsonl")}
        for row in read_jsonl(folder / "n_best.jsonl"):
            if not row["n_best"]:
                assert rows[row["id"]] == before[row["id"]] == ""
                continue
            assert row["n_best"][0]["text"] == before[row["id"]]
            scores = {}
            for found in row["n_best"]:
                graph = found["graph"] + second(found["text"]) - first(found["text"])
                words = len(found["text"].split())
                scores[found["text"]] = found["acoustic"] + point.lm_scale * graph - point.insertion_penalty * words
            assert scores[rows[row["id"]]] == pytest.approx(max(scores.values()))
        changed |= rows != before
    assert changed
    capsys.readouterr()
    decode_systems(tmp_path, config)
    assert capsys.readouterr().out.count("finished, skipped") == 2
    (tmp_path / "lang" / "rescore.bin").unlink()
    decode_systems(tmp_path, config)
    assert "skipped" not in capsys.readouterr().out
