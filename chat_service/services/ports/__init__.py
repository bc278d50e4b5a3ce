"""The stores, the bus and the presence as the services see them. Each port has two real implementations below
`chat_service.adapters` and one contract suite below `tests/contract` that runs on both."""

from chat_service.services.ports.bus import Bus
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import MetadataStore, Unit
from chat_service.services.ports.presence import Presence

__all__ = ["Bus", "ContentStore", "MetadataStore", "Presence", "Unit"]
