"""Messages that are hard to read, wrong, or meant to harm (RFC 4475, RFC 5118)."""
