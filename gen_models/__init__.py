"""Deep unsupervised models behind one interface: objectives define training, capabilities define use."""

__version__ = "0.1.0"
