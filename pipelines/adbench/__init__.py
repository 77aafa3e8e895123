"""A benchmark of anomaly detectors on the public tables of ADBench (Han et al., 2022), all by one protocol.

The detectors are baselines from scikit-learn and this project's default detector of tables.
"""
