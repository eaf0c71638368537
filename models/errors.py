"""Errors that a user can act on, and the closest-name hint they carry."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Weak2MaskError(Exception):
    """Base of every error whose message is written for the user. Exit code 1."""

    exit_code = 1


class ConfigurationError(Weak2MaskError):
    """A setting, a name or a recipe is wrong; nothing has run yet. Exit code 2."""

    exit_code = 2


class DataError(Weak2MaskError):
    """A file or an artefact is not what the run needs. Exit code 3."""

    exit_code = 3


class TrainingError(Weak2MaskError):
    """A training cannot go on, for instance because a loss is not finite. Exit code 1."""


class TransientError(Weak2MaskError):
    """The machine ended the work, not the input: worth trying again. Exit code 75 (``EX_TEMPFAIL``)."""

    exit_code = 75


MOST = 40
"""Valid names that a message lists; of more it has the ones most like what was written."""


def closest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` plus the valid names, to end an error message with."""
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=10, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    if len(options) > MOST:
        rest = f"; {len(options) - len(near)} more names are valid" if near else f"{len(options)} names are valid"
        return f"{hint}{' Alike: ' + ', '.join(near) if near else ' '}{rest}."
    return f"{hint} Valid: {', '.join(options) if options else 'none'}."
