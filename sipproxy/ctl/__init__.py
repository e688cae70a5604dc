"""The ``sipctl`` command and the control socket that it talks to."""
