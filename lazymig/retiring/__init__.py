"""Retirement of V1, once V2 is the only truth: watch, quarantine, archive, drop, and what is left behind in V2."""
