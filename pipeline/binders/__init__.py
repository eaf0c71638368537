"""Composition root: one module per verb that opens stores, builds parts, calls the stage and writes.

Each has ``run(book, name, log)``. They import only what their verb needs, so that a stage starts fast and
its code fingerprint covers its own code alone.
"""
