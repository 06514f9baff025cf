"""Memory, FLOPs and collectives of compiled programs, without running them."""
