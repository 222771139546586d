"""The parts of `scripts/fuzz.py`: how inputs are damaged, and the readers that get them."""
