"""Deep unsupervised models behind one interface (contracts.py).

A model's objectives say how it is trained; its capabilities say what it can be used for.
"""

from gen_models.exports import exports

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = exports(__name__, __file__)
