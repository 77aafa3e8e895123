"""The stage `prepare`, which writes the rows of a data source with a manifest of hashes, and commands to add data."""
