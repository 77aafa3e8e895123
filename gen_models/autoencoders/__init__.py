from gen_models.exports import exports

__getattr__, __dir__, __all__ = exports(__name__, __file__)
