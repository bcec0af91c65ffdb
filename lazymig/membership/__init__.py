"""A process's own view of its fleet: the lease, the phase that it follows, and the calls that are in flight."""
