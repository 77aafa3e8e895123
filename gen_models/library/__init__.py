"""Functions for scripts and notebooks, on arrays: fit, save, load, score, sample, encode; `gen_models` exports them.

No pipeline imports this package, so it is not part of the code that the pipeline's trainings run on.
"""
