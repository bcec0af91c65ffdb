"""The end of V1's part where one document carries both shapes: no collection goes, only fields of its documents."""
