"""What every command shares: errors, progress, extras, stages of a run and their report."""
