"""A pass over a collection: partitions, leases, checkpoints, throttle. A sweep is one kind, verification another."""
