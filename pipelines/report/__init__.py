"""What the report is made of: results read and checked, tables, comparisons, pictures, the page."""
