"""Programs and packages that some tests need and not every machine has."""

import os
from typing import NoReturn

import pytest

EVERYTHING_IS_THERE = bool(os.environ.get("LEXMESH_CI"))
"""Set by `.ci/run`, which installs all that can be installed."""


def absent(what: str) -> NoReturn:
    """Skips the test for want of something, or fails it where everything has been installed.

    Args:
        what: what is missing, and how to install it.
    """
    if EVERYTHING_IS_THERE:
        pytest.fail(f"{what}; .ci/run should have installed it")
    pytest.skip(what)
