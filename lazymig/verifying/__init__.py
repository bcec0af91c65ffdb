"""Verification: both collections are compared in full or by a sample, and what does not agree is looked at again.

What a first look finds is a candidate only, because clients write meanwhile. It is recorded before the checkpoint that
covers it, and counts once it has stood unchanged for the minimum age.
"""
