"""The commands that people run by hand, to use a registered model and to ask about the project."""
