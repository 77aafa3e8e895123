"""Parts that every stage and command needs: the paths of files, locks, one-line errors and progress."""
