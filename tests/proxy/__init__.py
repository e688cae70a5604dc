"""Tests of the front door and of RFC 3261 §16."""
