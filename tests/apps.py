"""What the applications of tests that run commands begin with: two shapes of a person."""

CLASSES = """
import os
from attrs import frozen
from pymongo import AsyncMongoClient
import lazymig

@frozen
class Old:
    id: int
    name: str

@frozen
class New:
    id: int
    first: str
    last: str
"""
