"""Tests of UDP and TCP, of flows and of who we are; real sockets are on loopback alone."""
