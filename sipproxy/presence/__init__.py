"""The presence package: documents, composition and rules (RFC 3856, 3863, 4479, 5025)."""
