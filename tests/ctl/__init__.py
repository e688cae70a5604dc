"""Tests of ``sipctl`` and of the control socket that it talks to."""
