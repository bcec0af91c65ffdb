"""The doctor's checks: what would go wrong with a migration on its collections, before anything is written."""
