"""The parts of a sweep: partitions, what is left in each, moving it, resolving marks, and staying out of the way."""
