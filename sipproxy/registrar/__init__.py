"""REGISTER and the bindings that come of it (RFC 3261 §10.3, 3327)."""
