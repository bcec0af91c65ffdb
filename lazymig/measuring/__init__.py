"""Counting how far a migration is, for status, sweeps and samples: what V2 holds, and what moved it there."""
