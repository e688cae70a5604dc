"""Tests of the wire: what RFC 3261, 3581, 5118 and 7616 say about octets."""
