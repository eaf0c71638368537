"""Scores of masks and CAMs against ground truth.

All of them stream: ``update`` takes one image, memory does not grow with the number of images, and ``merge`` adds
the counts of another process. Scores are fractions; the evaluate stage makes them percent.
"""
