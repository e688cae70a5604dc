"""An event package for sipproxy: how many messages wait for somebody (RFC 3842)."""
