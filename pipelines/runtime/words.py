"""Numbers in sentences."""


def counted(count: float, noun: str) -> str:
    """Return a number with its noun, such as "2 rows". noun: in the singular; its plural ends in -s"""
    shown = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{shown} {noun}" + ("" if 0 < count <= 1 else "s")
