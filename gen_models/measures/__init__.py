"""Metrics of models, samples, rankings and partitions, each with its unit and the paper that defines it.

units            the scales of reported numbers: bits per dimension, pixels in [0, 1], standard deviations
samples          two sets of rows compared: maximum mean discrepancy, nearest neighbours
sweep_metrics    the metrics that a sweep compares, by capability; lower is better
paired           the difference of two models on the same rows, with its interval
ranking          a score against labels: area under the ROC curve with its interval
partitions       clusters against classes: accuracy, mutual information, Rand index
manifold         precision, recall, density and coverage of samples
frechet          the Frechet distance between two sets of features
modes            how many modes of a known mixture the samples reach
disentanglement  the mutual information gap: whether each known factor of the data sits in one latent
pixel_ranking    a map of errors against the pixels of a defect
"""
