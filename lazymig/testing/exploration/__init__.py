"""The parts of the interleaving explorer, whose public module is `lazymig.testing.explore`."""
