"""The steps of the layout in which one document carries both shapes: no preparation, no seal, and no held writes."""
