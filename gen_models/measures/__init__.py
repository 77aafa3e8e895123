"""Metrics of models, samples, rankings and partitions: what is measured, in which unit, by which paper.

units        the scales that numbers are quoted on: bits per dimension, pixels in [0, 1], standard deviations
evaluation   running a model without training it: chunks, evaluation mode, fixed noise
samples      two sets of rows compared: maximum mean discrepancy, nearest neighbours
ranking      a score against labels: area under the ROC curve with its interval
partitions   clusters against classes: accuracy, mutual information, Rand index
validation   the metrics that a sweep compares, by capability; lower is better
"""

from gen_models.measures.evaluation import by_rows, draw, elbo, evaluating
from gen_models.measures.partitions import adjusted_rand, cluster_accuracy, normalised_mutual_information
from gen_models.measures.ranking import auroc, auroc_interval
from gen_models.measures.samples import bandwidths_around, median_bandwidth, mmd2, nearest_distances
from gen_models.measures.units import bits_per_dim, unit_scale
from gen_models.measures.validation import METRICS, validation

__all__ = [
    "METRICS",
    "adjusted_rand",
    "auroc",
    "auroc_interval",
    "bandwidths_around",
    "bits_per_dim",
    "by_rows",
    "cluster_accuracy",
    "draw",
    "elbo",
    "evaluating",
    "median_bandwidth",
    "mmd2",
    "nearest_distances",
    "normalised_mutual_information",
    "unit_scale",
    "validation",
]
