"""Pretrained encoders: listing, loading, saving, and use as a module."""
