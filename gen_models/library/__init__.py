"""What a script or a notebook needs: fit, save, load, score, sample, encode, on arrays; `gen_models` exports it.

No pipeline imports this package, so it is not among the code that trainings run on.
"""
