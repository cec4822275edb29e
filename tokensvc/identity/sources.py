"""Several sources as one: each answers for the credentials that it knows, and people sign in at the first."""

from tokensvc.identity import CredentialSource, Identity, IdentitySource, SignedIn, UnknownCredential


class Sources:
    """People sign in at `people`; what was authorized without them is confirmed by `others`."""

    def __init__(self, people: IdentitySource, *others: CredentialSource) -> None:
        self._people = people
        self._all: tuple[CredentialSource, ...] = (people, *others)

    async def sign_in(self, secret: str, now: int) -> SignedIn | None:
        return await self._people.sign_in(secret, now)

    async def confirm(self, credential: str, identity: Identity, now: int) -> None:
        for source in self._all:
            try:
                return await source.confirm(credential, identity, now)
            except UnknownCredential:
                continue
        raise UnknownCredential
