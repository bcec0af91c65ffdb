"""Moving a fleet from one phase to the next: what must hold before, in which order, and who is waited for."""
