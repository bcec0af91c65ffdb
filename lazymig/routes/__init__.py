"""Routes: one class per phase with the repository's verbs. A phase without a route cannot be constructed."""
