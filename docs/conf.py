"""Sphinx configuration: `pip install -r docs/requirements.txt`, then `sphinx-build -W docs docs/_build`."""

from importlib import metadata

project = "lazymig"
author = "The lazymig authors"
copyright = author
release = metadata.version("lazymig")

extensions = ["myst_parser"]
exclude_patterns = ["_build", "requirements.txt"]
myst_heading_anchors = 3
# Pages link to the README and to sources, for readers of the repository; the tests check every relative link.
suppress_warnings = ["myst.xref_missing"]
html_theme = "furo"
html_title = "lazymig"
