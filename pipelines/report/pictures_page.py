"""Makes the pages reports/pictures-DATA.html: all pictures of a data set's runs, those of one kind side by side."""

from pipelines.report.gallery import gallery
from pipelines.report.jinja_environment import environment
from pipelines.report.read import Results


def pictures_page(found: Results, data: str) -> str:
    """Return the HTML of reports/pictures-DATA.html for a data set."""
    template = environment().get_template("pictures.html")
    return template.render(found=found, data=data, groups=gallery(found, data))


def name_of(data: str) -> str:
    """Return the name of the file that holds a data set's page."""
    return f"pictures-{data}.html"
