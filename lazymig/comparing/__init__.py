"""Comparison of an entity's two sides: by the conversions, by checks that others wrote, and by BSON types.

Nothing in it reads or writes a collection, so that a verification and a live read compare in one way.
"""
