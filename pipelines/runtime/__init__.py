"""What every stage and command does around its work: where files lie, locks, one-line errors, progress."""
