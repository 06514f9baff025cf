"""What a run reads and refuses before its first stage."""
