"""Where unfinished work lies: outside of every output, safe to delete."""

from __future__ import annotations

from pathlib import Path

SCRATCH = Path(".scratch")
"""Resume state and unfinished work: outside DVC's outputs, git-ignored, safe to delete."""
