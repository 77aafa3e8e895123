"""Deep unsupervised models behind one interface: objectives define training, capabilities define use."""

from gen_models.exports import exports

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = exports(__name__, __file__)
