"""Makes the report: reads and checks the results, and makes tables, comparisons, pictures and the pages of them."""
