"""How learning rates fall: a factor of each optimiser's own rate, a function of the share of training that is done.

A constant rate ends where the noise of its last minibatches leaves it; a falling one averages that noise away. The
cosine (Loshchilov and Hutter, 2017, equation 5, without restarts) has no number of its own to choose.
"""

import math
from collections.abc import Callable

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}
