"""From posteriors to words: the graph HLG in k2, the search, the scales. The only package that knows where k2 is."""
