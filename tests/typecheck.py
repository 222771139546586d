"""The checker of annotated shapes and types that `make test` hooks into `functional` while the contract tests run."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float
