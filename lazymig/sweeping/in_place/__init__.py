"""The parts of a sweep over documents with both shapes: there are no marks, nothing to purge and nothing to adopt."""
