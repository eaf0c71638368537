"""Checkpoints that papers published, as checkpoints of this project."""
