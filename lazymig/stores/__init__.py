"""The ports to the collections: every MongoDB statement of lazymig is in this package, one method each."""
