"""How fast lazymig is beside hand-written code: `python -m benchmarks.run`."""
