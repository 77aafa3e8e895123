"""Recognises by its metrics a sampler that has collapsed, and says so in a sentence.

A generator has collapsed if it makes some of the data well and the rest not at all. Its losses do not show that: they
stay finite. A model with a likelihood is not judged by recall and coverage: its likelihood would show what it leaves
out, and blurred samples, far from all rows, are no collapse.
"""

import math
from collections.abc import Mapping

SHARES = {"recall": "test rows among the samples", "coverage": "test rows with a sample near them"}
LEAST_SHARE = 0.5  # of the value that training rows have in place of samples; at half of it, half the modes are missing
LEAST_MEMORISATION = 0.5  # below it, test rows are more than twice as far from the training rows as samples are


def collapse(numbers: Mapping[str, float]) -> list[str]:
    """Return a sentence for each sign of collapse; an empty list if there is none.

    numbers: {metric: value} of a run; metrics that the run does not have are not looked at
    """
    found = []
    modes, known = numbers.get("modes", math.nan), numbers.get("modes_known", math.nan)
    if modes < known:
        share = numbers.get("high_quality", math.nan)
        found.append(
            f"{modes:.0f} of {known:.0f} modes reached; {share:.0%} of the samples are within 3 standard deviations "
            f"of a mode"
        )
    has_likelihood = not {"nats", "binary_nats"}.isdisjoint(numbers)
    for name, what in () if has_likelihood else SHARES.items():
        value, floor = numbers.get(name, math.nan), numbers.get(f"{name}_floor", math.nan)
        if value < LEAST_SHARE * floor:
            found.append(f"{name} {value:.2f}, where training rows have {floor:.2f}: too few {what}")
    if (ratio := numbers.get("memorisation", math.nan)) < LEAST_MEMORISATION:
        found.append(
            f"memorisation {ratio:.2f}: samples repeat training rows, or come from the densest part of the data alone"
        )
    return found
