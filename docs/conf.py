"""Sphinx configuration: `tox -e docs`, or `pip install -r docs/requirements.txt` and `sphinx-build -n -W docs site`."""

import sys
from importlib import metadata
from pathlib import Path

# Sphinx finds the extension beside this file.
sys.path.insert(0, str(Path(__file__).parent / "_extension"))

project = "lazymig"
author = "The lazymig authors"
project_copyright = author
release = metadata.version("lazymig")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "lazymig_site"]
exclude_patterns = ["_build", "_extension", "requirements.txt", "screens"]
# Warnings are errors, and every reference must lead somewhere.
nitpicky = True
show_warning_types = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "lazymig"
html_theme_options = {"top_of_page_buttons": []}

# Docstrings are Google style, with Markdown's single backticks for code.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_preprocess_types = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
maximum_signature_line_length = 110
# Defaults as the source spells them.
autodoc_preserve_defaults = True
# Options of the command line keep their two dashes.
smartquotes = False

nitpick_ignore_regex = [
    # Types of Python and of other projects. Their inventories would be fetched at each build, which works offline.
    (r"py:.*", r"(collections|contextlib|datetime|pathlib|types|typing|uuid)\..*"),
    (r"py:.*", r"(attr|attrs|bson|cattrs|hypothesis|pymongo|starlette)\..*"),
    # Type variables.
    (r"py:.*", r"(lazymig\..*\.)?(V1|V2|E|K|T|T1|T2)"),
    # Types that only tests pass, or get from what only tests call: they have no page.
    (r"py:.*", r"lazymig\.loop\.clock\.Clock"),
    (r"py:.*", r"(lazymig\.testing\.(mongod|exploration|linearizability|memory_collection)\..*|External)"),
]
