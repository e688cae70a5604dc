"""The wire, pure: messages, URIs, header values, framing and digest (RFC 3261, 7616)."""
