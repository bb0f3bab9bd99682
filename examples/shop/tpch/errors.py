"""The errors of loading, sorted by who must act.

ShopError
└── LoadError              client: it cannot be loaded as asked, nothing was written
    ├── ScaleError         a scale that is no number, out of bounds, or too large for the disk
    ├── GenerateError      the generator failed, or its files are not the ones that are known
    ├── NotRunningError    there is no shop to load into, or one of its databases cannot be reached
    ├── LoadedError        the shop has this history already, or a part of it
    └── PartlyLoadedError  operator: it stopped on the way; the message says what is in
ShopError
└── NotShownError          operator: all is written, and the gateway does not show it
"""

from examples.shop.service.errors import ShopError


class LoadError(ShopError):
    """The root of what keeps a history from being loaded."""


class ScaleError(LoadError):
    """The scale cannot be had."""


class GenerateError(LoadError):
    """There are no files to load, or they do not fit together."""


class NotRunningError(LoadError):
    """There is nothing to load into."""


class LoadedError(LoadError):
    """Aggregates of this history are there already."""


class PartlyLoadedError(LoadError):
    """It stopped after the first batch: the shop holds a part of the history."""


class NotShownError(ShopError):
    """Relays, projector or gateway make no progress with what was written."""
