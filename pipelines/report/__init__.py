"""Makes the report: reads and checks the results, and makes the cards, tables, pictures and pages of them."""
