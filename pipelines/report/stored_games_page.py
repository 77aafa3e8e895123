"""Keeps the page of toy games in work/, under the hash of the code that makes it.

To play and to draw the games takes seconds of torch and matplotlib, and depends on the code only.
"""

from gen_models.files import replacing
from pipelines.lineage.fingerprint import fingerprint_of
from pipelines.lineage.hashing import sha256_json, source_sha256
from pipelines.report.jinja_environment import TEMPLATES
from pipelines.runtime import paths

MAKER = "pipelines.report.games_page"


def stored_games_page() -> str:
    """Return the HTML of reports/games.html, made now if its code has changed since it was last made."""
    templates = {path.name: source_sha256(path) for path in sorted(TEMPLATES.iterdir())}
    path = paths.work("games", f"{sha256_json([fingerprint_of([MAKER]), templates])}.html")
    if path.is_file():
        return path.read_text(encoding="utf-8")
    from pipelines.report.games_page import games_page

    made = games_page()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(made.encode())
    return made
