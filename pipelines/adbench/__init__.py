"""The public tables of ADBench (Han et al., 2022): one protocol, free baselines, and the default detector."""
