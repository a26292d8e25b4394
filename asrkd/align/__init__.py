"""Stage 3: from a flat start, through tied left-context GMM-HMMs, to one pdf a frame."""
