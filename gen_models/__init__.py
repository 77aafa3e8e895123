"""Deep unsupervised models behind one interface: objectives to train, capabilities to use."""

__version__ = "0.1.0"
