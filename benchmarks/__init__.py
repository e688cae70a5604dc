"""What prints numbers: CPU time per operation, never wall-clock."""
