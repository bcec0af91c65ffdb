"""Verifications of documents that carry both shapes."""
