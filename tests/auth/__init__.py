"""Tests of digest authentication and of the federation policy."""
