"""Pretrained weights, and the checkpoints that papers released."""
