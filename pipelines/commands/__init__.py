"""What people do with a registered model, and what they ask about the project."""
