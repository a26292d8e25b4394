"""Pieces of words as the units of the language model, so that words which no text has can be recognised."""

import io
from collections.abc import Callable, Iterable, Mapping

from asrkd.errors import UserError
from asrkd.lang.graphemic import letters
from asrkd.lang.lexicon import UNKNOWN, Lexicon
from asrkd.lang.pieces import BEGINS

Segment = Callable[[str], tuple[str, ...]]


def train_pieces(counts: Mapping[str, int], unit: str) -> bytes:
    """The sentencepiece model (Kudo and Richardson 2018) of words with counts; the same bytes for the same words.

    unit: `bpe:N` or `unigram:N`, N pieces with sentencepiece's own for unknown characters. Raises UserError when the
    words do not make N pieces, or have more than N characters.
    """
    import sentencepiece

    kind, _, size = unit.partition(":")
    model = io.BytesIO()
    # Words and counts in place of the text, which sentencepiece would hold in memory to count the same.
    words = (f"{word}\t{count}" for word, count in sorted(counts.items()))
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=words,
            input_format="tsv",
            model_writer=model,
            model_type=kind,
            vocab_size=int(size),
            hard_vocab_limit=True,
            character_coverage=1.0,
            normalization_rule_name="identity",  # pieces are to make the text again
            split_by_unicode_script=False,  # which takes an apostrophe for another script
            bos_id=-1,
            eos_id=-1,
            num_threads=1,  # several add in any order
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        said = str(error).rpartition("] ")[2].strip()
        raise UserError(
            f"lang.lm_unit={unit}: expected a number of pieces that {len(counts):,} words can make, found: {said}"
        ) from None
    return model.getvalue()


def read_pieces(model: bytes, words: Iterable[str]) -> tuple[Segment, Lexicon]:
    """From a word to its units, and the units' pronunciations: those of sentencepiece's pieces and of `words`, and of
    each letter at a word's beginning.

    A piece without a letter, as an apostrophe, would be a word of the graph without a phone: it becomes part of the
    next piece, at a word's end of the one before; where that makes a unit which no word has, it is spelt by letters. A
    word that the units do not make is UNKNOWN alone.
    """
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = (processor.id_to_piece(number) for number in range(processor.get_piece_size()))
    # Sentencepiece's <unk> has no letters, since <> are none.
    units = {piece for piece in pieces if _spelt(piece)}
    units |= {BEGINS + piece for piece in units if len(piece) == 1}  # so that every spelling can be made
    for word in words:
        units.update(_with_letters(processor.encode(word, out_type=str)))
    lexicon: Lexicon = {unit: [_spelt(unit)] for unit in sorted(units) if _spelt(unit)}
    made: dict[str, tuple[str, ...]] = {}

    def segment(word: str) -> tuple[str, ...]:
        if word not in made:
            whole = _with_letters(processor.encode(word, out_type=str))
            found = tuple(part for unit in whole for part in ([unit] if unit in lexicon else _by_letters(unit)))
            made[word] = found if found and all(unit in lexicon for unit in found) else (UNKNOWN,)
        return made[word]

    return segment, lexicon


def segmented(sentences: Iterable[str], segment: Segment) -> Iterable[str]:
    """The sentences in units, with spaces between."""
    return (" ".join(unit for word in sentence.split() for unit in segment(word)) for sentence in sentences)


def _with_letters(pieces: Iterable[str]) -> tuple[str, ...]:
    units: list[str] = []
    waiting = ""
    for piece in pieces:
        waiting += piece
        if _spelt(waiting):
            units.append(waiting)
            waiting = ""
    if waiting and units:
        units[-1] += waiting
    elif waiting:
        units.append(waiting)
    return tuple(units)


def _by_letters(unit: str) -> tuple[str, ...]:
    first = len(BEGINS) + 1 if unit.startswith(BEGINS) else 1
    return _with_letters([unit[:first], *unit[first:]])


def _spelt(piece: str) -> tuple[str, ...]:
    return letters(piece[len(BEGINS) :] if piece.startswith(BEGINS) else piece)
