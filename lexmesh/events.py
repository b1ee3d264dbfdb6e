"""The event and data types of both seeds, and the subjects that lexmesh keeps for itself."""

from enum import StrEnum
from typing import Final

RESERVED_PREFIX: Final = "_lexmesh."
"""Types that begin so are spoken between lexmesh programs and are never routed."""

SYNC_FREQUENCY_HZ: Final = 0.0043
"""The seeds' ultra-low synchronisation frequency; its period is 232.558 s."""


class EventType(StrEnum):
    """The types of event that the seeds name; any other subject is a valid type too."""

    BIO_SYNC = "bio_sync"
    SENSOR_READING = "sensor_reading"
    MYCELIUM_STATUS = "mycelium_status"
    CLIMATE_CONTROL = "climate_control"
    HEALTH_CHECK = "health_check"
    ERROR = "error"
    NODE_REGISTER = "node_register"
    NODE_UNREGISTER = "node_unregister"
    HEARTBEAT = "heartbeat"
    AGENT_SPAWN = "agent_spawn"
    AGENT_TERMINATE = "agent_terminate"
    AGENT_MESSAGE = "agent_message"
    RITUAL_START = "ritual_start"
    RITUAL_END = "ritual_end"
    RITUAL_CYCLE = "ritual_cycle"
    SYSTEM_ALERT = "system_alert"
    SYSTEM_METRIC = "system_metric"
    SYSTEM_ERROR = "system_error"


class DataType(StrEnum):
    """The types of reading that the seeds name; any other subject is a valid type too."""

    TEMPERATURE = "temperature"
    HUMIDITY = "humidity"
    CO2_LEVEL = "co2_level"
    MYCELIUM_GROWTH = "mycelium_growth"
    FREQUENCY_SYNC = "frequency_sync"
