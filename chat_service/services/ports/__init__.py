"""The stores and the bus as the services see them. Each port has two real implementations below
`chat_service.adapters` and one contract suite below `tests/contract` that runs on both."""

from chat_service.services.ports.bus import Bus
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import MetadataStore, Unit

__all__ = ["Bus", "ContentStore", "MetadataStore", "Unit"]
