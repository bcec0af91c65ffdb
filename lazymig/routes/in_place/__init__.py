"""The routes of the layout in which one document carries both shapes: one file per phase."""
