"""Clients that act by themselves (RFC 6749 §4.4): whom each stands for, as TOKENSVC_CLIENTS has it now."""

from collections.abc import Iterable

from tokensvc.identity import Identity, IdentityEnded, SignedIn, UnknownCredential


class ClientIdentities:
    """Removing a client, or giving it another secret, key or identity, ends all that it obtained for itself."""

    def __init__(self, clients: Iterable[SignedIn]) -> None:
        self._by_credential = {client.credential: client.identity for client in clients}

    def __bool__(self) -> bool:
        return bool(self._by_credential)

    async def confirm(self, credential: str, identity: Identity, now: int) -> None:  # noqa: ARG002  # the port's
        present = self._by_credential.get(credential)
        if present is None:
            raise UnknownCredential
        if present != identity:
            raise IdentityEnded("the client has another account, user or role now")
