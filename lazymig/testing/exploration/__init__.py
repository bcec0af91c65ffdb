"""The parts of the interleaving explorer; its public face is `lazymig.testing.explore`."""
