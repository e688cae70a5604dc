"""Tests of the four machines, their timers and their matching (RFC 3261 §17, 4320, 6026)."""
