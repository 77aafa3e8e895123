"""From a conf to a trained model: what a training does, sweeps over settings, and Ray, which runs both."""
