"""Events for any package: subscriptions, publications, watchers (RFC 6665, 3903, 3857)."""
