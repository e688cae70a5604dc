"""The registration event package (RFC 3680, 5628)."""
