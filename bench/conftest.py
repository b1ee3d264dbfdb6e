"""Benchmarks borrow from the tests what they compare with."""

from collections.abc import Callable
from typing import Any

import pytest
from google_messages import google_classes


@pytest.fixture(scope="session")
def internode(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Google's own message classes, by name."""
    return google_classes(tmp_path_factory.mktemp("protos"))
