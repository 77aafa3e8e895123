"""Makes the report: reads and checks the results of all runs, and makes cards, tables, pictures and pages from them."""
