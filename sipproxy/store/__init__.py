"""What survives a restart, behind the interfaces of `sipproxy.interfaces`."""
