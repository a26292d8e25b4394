"""Stage 2: the lexicon, the vocabulary and the word language model."""
