"""The commands for people: use a registered model, and ask about the project."""
