"""Stages 4 to 7: one training loop for members, students and limited-data models."""
