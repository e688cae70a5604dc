"""A user of sipproxy who answers every message with the same message."""
