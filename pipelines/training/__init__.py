"""Trains models: what one training does, sweeps over settings, and Ray, which runs both."""
