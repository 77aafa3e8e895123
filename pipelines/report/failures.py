"""Says in plain words that a run failed: that its training diverged, or that its samples or latents collapsed.

A run that failed is shown with its numbers, but it is nowhere called the best.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pipelines.evaluation.metrics.collapse import collapse


def failures(
    numbers: Mapping[str, float],
    *,
    latents: Mapping[str, Any] | None = None,
    not_finite: Collection[str] = (),
    diverged: str | None = None,
) -> list[str]:
    """Return a sentence for each way in which a run failed; an empty list if it did not.

    numbers: the finite numbers of metrics.json; not_finite: the names of its numbers that are not finite
    latents: the content of latents.json, if there is one; diverged: the reason in the last line of the history
    """
    found = []
    if diverged:
        found.append(f"Diverged: {diverged}")
    elif "criterion" in not_finite:
        found.append("Diverged: the number by which its settings were chosen is not finite on test rows")
    found += [f"Collapsed: {sentence}" for sentence in collapse(numbers)]
    if latents is not None and latents["is_collapsed"]:
        found.append(f"Collapsed: {_unused(numbers)}")
    return found


def _unused(numbers: Mapping[str, float]) -> str:
    if "codes" in numbers and "perplexity" in numbers:
        return f"the rows use {numbers['perplexity']:.1f} of {numbers['codes']:.0f} codes"
    if numbers.get("active_latents") == 0:
        return f"0 of {numbers['latents']:.0f} latents are active, so the decoder ignores them"
    return "the latents say almost nothing of a row"
