"""Draws pictures from arrays. Only this package imports matplotlib.

Most functions take arrays and an argument `to`, a path or an open binary file, and write a PNG there (`animation`
writes a GIF). The same arrays give the same bytes: no window system or global state is used, and the file holds no date
and no version.

`levels` is the number of grey levels of images, whose pixels are then whole numbers 0 .. levels - 1; it is None for
images with continuous pixels.
"""

from pipelines.figures.animation import animation
from pipelines.figures.charts import curves, roc, setting, trials
from pipelines.figures.columns import columns
from pipelines.figures.flow_of_line import LineFlow, histogram, line_flows
from pipelines.figures.game_orbits import orders_of_play
from pipelines.figures.image_grids import image_grid, is_image, mosaic, overview, reconstructions, sheet
from pipelines.figures.latent_charts import latent_kl, latent_map, traversal
from pipelines.figures.plane import classes, density, flow_of_the_plane, scatter
from pipelines.figures.ranks import mean_ranks
from pipelines.figures.rate_distortion import rate_distortion
from pipelines.figures.scores import Strip, score_bands, score_distributions, score_histogram, score_sheet
from pipelines.figures.step_samples import draws, step_picture
from pipelines.figures.trial_samples import trial_samples

__all__ = [
    "LineFlow",
    "Strip",
    "animation",
    "classes",
    "columns",
    "curves",
    "density",
    "draws",
    "flow_of_the_plane",
    "histogram",
    "image_grid",
    "is_image",
    "latent_kl",
    "latent_map",
    "line_flows",
    "mean_ranks",
    "mosaic",
    "orders_of_play",
    "overview",
    "rate_distortion",
    "reconstructions",
    "roc",
    "scatter",
    "score_bands",
    "score_distributions",
    "score_histogram",
    "score_sheet",
    "setting",
    "sheet",
    "step_picture",
    "traversal",
    "trial_samples",
    "trials",
]
