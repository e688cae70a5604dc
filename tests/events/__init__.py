"""Tests of the registrar and of the location table."""
