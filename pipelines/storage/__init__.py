"""Carries the files of jobs between machines without a common folder, through a storage such as an S3 bucket."""
