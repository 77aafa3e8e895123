"""Functions for scripts and notebooks, on arrays: fit, save, load, score, sample, encode; `gen_models` exports them.

No pipeline imports this package, so a change of it makes no training run again.
"""
