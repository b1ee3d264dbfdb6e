"""The audit file that a node's settings name."""

from __future__ import annotations

from lexmesh.config import MeshConfig
from lexmesh.errors import ConfigError
from lexmesh.nsr.audit import Audit

from .audit_file import AuditFile

__all__ = ["audit_file_of", "start_audit"]


def audit_file_of(config: MeshConfig, audit: Audit) -> AuditFile | None:
    """The file that the records of an audit go to as configured; None for nowhere."""
    if config.audit_file is None:
        return None
    return AuditFile(audit, config.audit_file, config.audit_file_bytes, config.audit_files)


async def start_audit(file: AuditFile | None, config: MeshConfig) -> None:
    """Opens an audit file, if there is one: a node whose records would go nowhere must not start.

    Args:
        file: as `audit_file_of` made it.
        config: the settings that name it.

    Raises:
        ConfigError: the file cannot be written to.
    """
    if file is None:
        return
    try:
        await file.start()
    except OSError as error:
        reason = (
            f"{(error.strerror or str(error)).lower()}; name a file in a directory that exists and can be written to"
        )
        raise ConfigError("audit_file", f"'{config.audit_file}'", reason, config.source_of("audit_file")) from None
