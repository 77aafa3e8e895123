"""Pictures; the only import of matplotlib.

Each function takes arrays and writes a PNG into a path or an open binary file: the same bytes for the same arrays, with
no window system, no global state, no date or version in the file.
"""

from pipelines.figures.charts import curves, roc, trials
from pipelines.figures.images import image_grid, is_image, mosaic, overview, reconstructions, sheet
from pipelines.figures.line import LineFlow, histogram, line_flows
from pipelines.figures.plane import classes, density, flow_of_the_plane, scatter
from pipelines.figures.samples import draws, step_picture
from pipelines.figures.uses import rate_distortion

__all__ = [
    "LineFlow",
    "classes",
    "curves",
    "density",
    "draws",
    "flow_of_the_plane",
    "histogram",
    "image_grid",
    "is_image",
    "line_flows",
    "mosaic",
    "overview",
    "rate_distortion",
    "reconstructions",
    "roc",
    "scatter",
    "sheet",
    "step_picture",
    "trials",
]
