"""What the service reads from hosts that strangers name: small JSON documents, over HTTPS, and nothing else.

Whoever may name a URL could have this machine ask its neighbours. So every address is checked after the name was
resolved, the connection goes to just that address, and time, size and number are bounded.
"""


class Unfetchable(Exception):
    """There is no answer that counts. The text says exactly why, for the log: who asked must not learn it."""


class Busy(Unfetchable):
    """This process has no room to ask, which says nothing of the host."""


class Refused(Exception):
    """The host has answered, and what it says cannot be accepted: no copy from before stands against that."""
