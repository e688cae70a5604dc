"""Tests with real peers: clients, a load generator and another server, each from its package."""
