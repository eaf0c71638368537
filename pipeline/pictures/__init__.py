"""Colours and overlays, for people to look at."""
