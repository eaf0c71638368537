"""Exports of labelling tools: one file for each format, one structure for what all of them say."""
