"""The model zoo: everything that touches disk, network, names or time."""
