"""The front door, and RFC 3261 §16: validate, authenticate, filter, route, fork, answer."""
