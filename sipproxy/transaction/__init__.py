"""The four transaction machines, their timers, and what matches messages to them (RFC 3261 §17)."""
