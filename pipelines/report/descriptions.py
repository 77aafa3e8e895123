"""Says in one sentence what a model or a data set is: the first sentence of the comment on top of its file in conf/."""

import re

from pipelines.runtime import paths

SENTENCE = re.compile(r"(.+?\.)(?=\s|$)")


def description(group: str, name: str) -> str:
    """Return the first sentence of the comment on top of conf/GROUP/NAME.yaml, or "" if there is none.

    group: "model" or "data"
    """
    try:
        lines = (paths.root() / "conf" / group / f"{name}.yaml").read_text().splitlines()
    except OSError:
        return ""
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):  # a directive to Hydra
            comment.append(line.lstrip("# "))
    found = SENTENCE.match(" ".join(comment))
    return found[1].replace("`", "") if found else ""
