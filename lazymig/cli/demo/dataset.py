"""The customers of `examples/customers`, which the wheel carries as `lazymig.cli.customers`."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from lazymig.errors import ConfigurationError

_NAME = "lazymig.cli.customers"
#: Where a checkout or an editable installation has them.
_IN_CHECKOUT = Path(__file__).parents[3] / "examples" / "customers"


def customers() -> Any:
    """Import the package, which has `migration`, `load_documents()` and `new_customer(seed)`, from where it is."""
    try:
        return import_module(_NAME)
    except ModuleNotFoundError as error:
        if error.name != _NAME:
            raise
    spec = spec_from_file_location(_NAME, _IN_CHECKOUT / "__init__.py", submodule_search_locations=[str(_IN_CHECKOUT)])
    if spec is None or spec.loader is None or not _IN_CHECKOUT.is_dir():
        raise ConfigurationError("the demo's customers are missing from this installation; install lazymig again")
    module = sys.modules[_NAME] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
