"""Pretrained encoders: what there is, loading, saving, and use as a module."""
