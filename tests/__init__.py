"""Tests of sipproxy; the folders mirror the package."""
