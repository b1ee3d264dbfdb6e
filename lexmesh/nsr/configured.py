"""The policy file that a user named, in the settings or on a command line."""

from __future__ import annotations

from pathlib import Path

from ..config import MeshConfig
from ..errors import PolicyError
from .policy import NsrPolicy

__all__ = ["configured_policy", "named_policy"]


def configured_policy(config: MeshConfig) -> NsrPolicy | None:
    """Loads the policy file that the settings name.

    Args:
        config: the settings.

    Returns:
        The policy; None if none is configured.

    Raises:
        PolicyError: as for `named_policy`.
    """
    if config.policy_file is None:
        return None
    return named_policy(config.policy_file, config.source_of("policy_file"))


def named_policy(path: Path, source: str) -> NsrPolicy:
    """Loads a policy file.

    Args:
        path: the file.
        source: what named it: a variable, a line of a file, an option of a command; empty for a keyword.

    Returns:
        The policy.

    Raises:
        PolicyError: the file cannot be read or is wrong; the error begins with what named it.
    """
    try:
        return NsrPolicy.load(path)
    except PolicyError as error:
        raise PolicyError(error.file, error.line, error.reason, source) from None
