"""The data sources, one module for each kind. source_table.py lists them; densities.py lists the known densities."""
