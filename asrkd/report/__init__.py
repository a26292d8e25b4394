"""Stage 10, second half: the paper's tables beside ours as Markdown, JSON and one HTML page."""
