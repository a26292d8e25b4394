"""Specialists: pdfs that a generalist confuses, and one distribution out of all models."""
