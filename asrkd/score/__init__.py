"""Stage 10, first half: word error rates, frame accuracies, and how sure they are."""
