"""Many lists of one index in one call: their first rows, when nobody wants to know how many there are.

Invariants: pure; each list is answered as a page of its own would be, but for its total.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from projections.errors import StoreError
from projections.store import page
from projections.store.command import Command
from projections.store.faults import told
from projections.store.keys import Bucket
from projections.store.library import Library
from projections.store.port import Listing, Page
from projections.store.refusals import rebuilding

MAX_LISTS: Final = 100
"""Of one call: some 200 us of the server's time while each has a row or two."""


class Lists(NamedTuple):
    """Lists that are read together, by their names."""

    listing: Listing
    names: Sequence[str]

    def command(self, bucket: Bucket, functions: Library) -> Command:
        """The call for a bucket."""
        built, prefix = bucket.built, bucket.entries("")
        words = (bucket.document(""), self.listing.limit, int(self.listing.descending))
        keys = [prefix + name for name in self.names]
        return Command(built, ("FCALL_RO", functions.rows, len(keys) + 1, built, *keys, *words))

    def answer(self, replies: Sequence[Any]) -> list[Page | StoreError]:
        """A page for each list, from the buckets' replies."""
        shares: list[list[Page | StoreError]] = []
        for number, reply in enumerate(replies):
            if isinstance(reply, StoreError):
                return [reply] * len(self.names)
            if not reply[0]:
                bucket = Bucket(self.listing.projection, self.listing.generation, number)
                return [rebuilding(bucket.tag)] * len(self.names)
            shares.append(self._pages(reply[1], reply[2]))
        return shares[0] if len(shares) == 1 else [self._merged(found) for found in zip(*shares, strict=True)]

    def _pages(self, lists: Sequence[Any], stored: Sequence[bytes | None]) -> list[Page | StoreError]:
        """What one bucket has of each list; `stored` is what the members of all of them name, one behind the other."""
        limit, place = self.listing.limit, 0
        found: list[Page | StoreError] = []
        for members in lists:
            if type(members) is not list:
                found.append(told(members))
                continue
            has_more = len(members) > limit
            if has_more:
                del members[limit:]
            end = place + len(members)
            found.append(Page(members, stored[place:end], 0, False, has_more))
            place = end
        return found

    def _merged(self, shares: Sequence[Page | StoreError]) -> Page | StoreError:
        """One list out of what each bucket has of it."""
        members: list[bytes] = []
        stored: list[bytes | None] = []
        has_more = False
        for share in shares:
            if isinstance(share, StoreError):
                return share
            members += share.members
            stored += share.stored
            has_more = has_more or share.has_next
        members, stored = page.in_order(members, stored, self.listing.descending)
        limit = self.listing.limit
        return Page(members[:limit], stored[:limit], 0, False, has_more or len(members) > limit)


def lists_of(listing: Listing, names: Sequence[str]) -> list[Lists]:
    """The lists of a listing, by what is read in one call."""
    return [Lists(listing, names[first : first + MAX_LISTS]) for first in range(0, len(names), MAX_LISTS)]
