"""A made-up language of tones for the end-to-end test: easy to recognise, quick to make, and speech-like in its parts.

A phone is a pair of tones, where a vowel's formants would be; a word is two to four phones; a sentence is three to five
words of a small grammar. Speakers differ in pitch, pace and loudness; there is soft noise throughout and silence at the
ends and between some of the words.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asrkd.corpus.cuts import make_cut, write_cuts
from asrkd.files import write_text

RATE = 16000
PHONES = {  # Hz
    "P0": (300, 1200),
    "P1": (300, 2400),
    "P2": (450, 850),
    "P3": (450, 1700),
    "P4": (650, 1200),
    "P5": (650, 3200),
    "P6": (900, 1700),
    "P7": (900, 2400),
    "P8": (1200, 3200),
    "P9": (1700, 4400),
}
LEXICON = {
    "BAKO": "P0 P5 P2",
    "DIRU": "P1 P4",
    "FENA": "P3 P8 P0",
    "GOLI": "P6 P1 P9",
    "HASU": "P7 P2",
    "JIMO": "P8 P3 P6 P1",
    "KEPA": "P9 P0",
    "LUTI": "P2 P7 P4",
    "MORE": "P4 P9 P3",
    "NISA": "P5 P6",
    "PUDO": "P2 P9 P1 P5",
    "SELI": "P7 P8 P4",
}
SUBJECTS = ("BAKO", "FENA", "KEPA", "NISA")
VERBS = ("DIRU", "LUTI", "PUDO")
OBJECTS = ("GOLI", "JIMO", "MORE", "HASU")
ADVERBS = ("SELI", "HASU", "KEPA")
SPEAKERS = {"train": ("t1", "t2", "t3", "t4"), "dev": ("d1",), "test": ("e1",)}
UTTERANCES = {"train": 100, "dev": 20, "test": 20}


def make_tone_corpus(folder: Path, seed: int = 0, utterances: Mapping[str, int] = UTTERANCES) -> dict[str, Any]:
    """Writes the corpus into `folder` and returns where things are.

    {"train", "dev", "test": Lhotse cut sets, "lexicon", "lm_text": files, "sample_rate": Hz, "sentences": id -> text}.
    The sentences of `lm_text` are drawn from the grammar anew.
    """
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {"sample_rate": RATE, "sentences": {}}
    for split, speakers in SPEAKERS.items():
        cuts = []
        voices = {speaker: _voice(rng) for speaker in speakers}
        for n in range(utterances[split]):
            speaker = speakers[n % len(speakers)]
            words = sentence(rng)
            name = f"{speaker}-{n:03d}"
            samples = _speak(words, voices[speaker], rng)
            audio = folder / "wav" / f"{name}.wav"
            audio.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(audio, samples, RATE)
            cuts.append(make_cut(name, audio, RATE, len(samples), speaker, " ".join(words)))
            made["sentences"][name] = " ".join(words)
        made[split] = folder / f"{split}.jsonl.gz"
        write_cuts(made[split], cuts)
    made["lexicon"] = folder / "lexicon.txt"
    write_text(made["lexicon"], "".join(f"{word} {phones}\n" for word, phones in LEXICON.items()))
    made["lm_text"] = folder / "lm_text.txt"
    write_text(made["lm_text"], "".join(" ".join(sentence(rng)) + "\n" for _ in range(400)))
    return made


def sentence(rng: np.random.Generator) -> list[str]:
    """SUBJECT VERB OBJECT, with an adverb before or after it, or both."""
    words = [str(rng.choice(SUBJECTS)), str(rng.choice(VERBS)), str(rng.choice(OBJECTS))]
    if rng.random() < 0.4:
        words.append(str(rng.choice(ADVERBS)))
    if rng.random() < 0.4:
        words.insert(0, str(rng.choice(ADVERBS)))
    return words


def _voice(rng: np.random.Generator) -> dict[str, float]:
    """Pitch and pace as factors, loudness as the amplitude of a tone."""
    return {"pitch": rng.uniform(0.96, 1.04), "pace": rng.uniform(0.9, 1.1), "level": rng.uniform(0.08, 0.2)}


def _speak(words: list[str], voice: dict[str, float], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    parts = [_silence(rng.uniform(0.15, 0.3))]
    for n, word in enumerate(words):
        if n and rng.random() < 0.6:
            parts.append(_silence(rng.uniform(0.06, 0.2)))
        parts += [_phone(phone, voice, rng) for phone in LEXICON[word].split()]
    parts.append(_silence(rng.uniform(0.15, 0.3)))
    samples = np.concatenate(parts)
    return (samples + 0.002 * rng.normal(size=len(samples))).astype(np.float32)


def _silence(seconds: float) -> np.ndarray[Any, Any]:
    return np.zeros(round(seconds * RATE))


def _phone(phone: str, voice: dict[str, float], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    time = np.arange(round(rng.uniform(0.09, 0.15) / voice["pace"] * RATE)) / RATE
    edge = np.minimum(1, np.minimum(time, time[::-1]) / 0.01)  # 10 ms in and out: no clicks between phones
    low, high = (tone * voice["pitch"] * rng.uniform(0.99, 1.01) for tone in PHONES[phone])
    phase = rng.uniform(0, 2 * np.pi, size=2)
    wave = np.sin(2 * np.pi * low * time + phase[0]) + 0.7 * np.sin(2 * np.pi * high * time + phase[1])
    return voice["level"] * rng.uniform(0.85, 1.15) * edge * wave
