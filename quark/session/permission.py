"""What of a stranger's journal is carried out: nothing but the delivery to the store of its own folder.

A journal names sinks, addresses and paths. They are used if this user's own process wrote them down (the description is
signed), or if the user says so now. A service is contacted only at an address that the user's environment or an option
names, since the user's key travels there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..client.connection import is_configured_service
from ..delivery.place import DescribedSink, WriterPlace, check_sink_name
from ..errors import SessionStoreError
from .home import EmbeddedHome, Home, ServiceHome
from .placement import Placement

_SERVICES = (ServiceHome.name, "service-files")


class NotAllowedError(SessionStoreError):
    """A sink of a journal may not be delivered to without the user's word."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What the user said to a sync.

    Attributes:
        url: deliver to the service at this address what journals have for a service.
        trust: use the sinks that journals name, also those of journals that this user's key did not sign.
    """

    url: str | None = None
    trust: bool = False

    def home(self, placement: Placement, places: Sequence[WriterPlace]) -> Home:
        """Where the records of these journals live.

        Raises:
            NotAllowedError: in a service that the user has not named, by the word of the user's own process.
        """
        for place in places:
            for sink in _sinks_of(place)[:1]:
                if sink.kind != ServiceHome.name:
                    continue
                url = self._address(sink)
                if url is not None:
                    return ServiceHome(url, str(sink.options.get("namespace") or ""))
                if self.trust or place.is_signed():
                    raise NotAllowedError(_unnamed(sink, suggest=place.is_signed()))
        return EmbeddedHome(placement)

    def options(self, place: WriterPlace, described: DescribedSink) -> dict[str, Any]:
        """The options with which the sink is made again.

        Raises:
            NotAllowedError: the user's word is needed.
            SessionStoreError: its name is none.
        """
        check_sink_name(described.name)
        if described.kind in _SERVICES:
            url = self._address(described)
            if url is None:
                raise NotAllowedError(_unnamed(described, suggest=place.is_signed()))
            return {"url": url, "namespace": str(described.options.get("namespace") or "") or None}
        if self.trust or place.is_signed():
            return described.options
        raise NotAllowedError(
            f"it is not used, because no process of yours signed {place.directory / 'writer.json'}, which names it; "
            "read that file, and if the run is yours: quark sync --trust"
        )

    def _address(self, sink: DescribedSink) -> str | None:
        """Where the service is that this sink stands for, if the user names it."""
        if self.url is not None:
            return self.url
        url = sink.options.get("url")
        return url if isinstance(url, str) and is_configured_service(url) else None


ONLY_SIGNED = Permission()
"""The user said nothing: what the user's own processes wrote down is carried out."""


def _sinks_of(place: WriterPlace) -> list[DescribedSink]:
    try:
        return place.described_sinks()
    except SessionStoreError:
        return []  # its drain names the trouble


def _unnamed(sink: DescribedSink, *, suggest: bool) -> str:
    url = str(sink.options.get("url"))[:200]
    if not suggest:  # no command with a stranger's address in it, to which the user's key would be sent
        return f"it is a service at {url}, which you did not name; deliver to your own with: quark sync --url ADDRESS"
    return (
        f"it is a service at {url}, and QUARK_PERSISTENCE_URL does not name that; set it, or deliver the records there "
        f"with: quark sync --url {url}, or to where the service is now: quark sync --url ADDRESS"
    )
