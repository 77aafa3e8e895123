"""The checker of the shapes in signatures: beartype, to which an int is a float as well (PEP 484)."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
