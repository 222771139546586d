"""Methods: each one a file, its `State`, and `(init, loss)`. They all read alike."""

from functional.methods.simclr import simclr as simclr
