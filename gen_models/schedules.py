"""Learning-rate schedules: a factor on each optimiser's own rate, as a function of the completed fraction of training.

With a constant rate, the noise of the last minibatches stays in the weights; a falling rate averages it away. The
cosine (Loshchilov and Hutter, 2017, equation 5, without restarts) has no parameter to choose.
"""

import math
from collections.abc import Callable

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}
