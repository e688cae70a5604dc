"""Who is asking: digest challenges and checks, and the peers that may speak for a domain."""
