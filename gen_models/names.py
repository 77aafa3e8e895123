"""The names that a configuration may use, apart from the code that they stand for: reading them needs no torch."""

ORDERS = ("alternating", "simultaneous", "extragradient")  # of play, see engine.py
TASKS = ("score", "p_value", "encode", "decode", "reconstruct", "sample")  # that a model is asked, see serving.py
METRICS = ("nats", "nats_iw50", "mse", "mmd", "entanglement", "distortion_at_rate")  # see measures/sweep_metrics.py
