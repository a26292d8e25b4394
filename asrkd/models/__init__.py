"""The acoustic model, safely saved and loaded."""
