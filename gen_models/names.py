"""The names that a configuration may use, apart from the code that implements them: reading them needs no torch."""

ORDERS = ("alternating", "simultaneous", "extragradient")  # of play, see engine.py
TASKS = ("score", "p_value", "encode", "decode", "reconstruct", "cluster", "sample")  # of a model, see serving.py
METRICS = ("nats", "nats_iw50", "mse", "mmd", "entanglement", "distortion_at_rate")  # see measures/sweep_metrics.py
