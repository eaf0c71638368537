"""The commands of ``python -m pipeline``, a file for each kind of user; importing one adds its commands."""
