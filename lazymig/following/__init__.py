"""Following V1's changes: which of them were not announced, and bringing V2 up to those."""
