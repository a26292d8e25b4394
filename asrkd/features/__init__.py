"""Log-mel filterbanks, per-speaker normalisation, the memory-mapped frame store, splicing."""
