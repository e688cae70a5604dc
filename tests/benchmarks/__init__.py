"""Tests of what `make bench` makes of what it has measured."""
