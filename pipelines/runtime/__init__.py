"""What every stage and command needs around its own work: the paths of files, locks, one-line errors and progress."""
