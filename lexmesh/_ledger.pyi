from typing import Final

INGRESS_NAMES: Final[tuple[str, ...]]
DROP_NAMES: Final[tuple[str, ...]]
