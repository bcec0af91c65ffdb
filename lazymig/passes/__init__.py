"""Passes over a collection: partitions, leases, checkpoints and the throttle. A sweep is one kind of pass."""
