"""Carries what a job needs, and what it leaves, between machines without a common folder, through a file system."""
