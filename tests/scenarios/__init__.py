"""Whole flows as text files, and what plays them against a server without sockets."""
