"""What hatchling cannot be told by settings."""

from __future__ import annotations

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ServerMetadata(MetadataHookInterface):
    """The service needs the client of its own version, which `messages/__init__.py` says."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add what is required: `[tool.hatch.metadata.hooks.custom]` has the rest."""
        client = f"meterd-client=={metadata['version']}"
        metadata["dependencies"] = [client, *self.config["dependencies"]]
