"""Measurements of the engine and of the service, each beside its peers; see README.md here."""
