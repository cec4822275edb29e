"""Why an artefact would be refused."""

from tokensvc import assembly
from tokensvc.commands import CommandFailed, rfc3339
from tokensvc.commands.admin_client import ask
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.identity import IdentityEnded
from tokensvc.ledger.marks import Dead, Mark, Marks, parse_subject
from tokensvc.protocol.client import Lifetimes
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.protocol.scope import Scopes
from tokensvc.settings import Settings
from tokensvc.tokens.artefact import Artefact
from tokensvc.tokens.kinds import Grant


async def refusals(artefact: Artefact, loaded: Settings, moment: int) -> list[str]:
    """Every reason that can be known without the ledger."""
    found = []
    exp = getattr(artefact, "exp", moment + 1)
    if moment >= exp:
        found.append(f"expired {rfc3339(exp)}")
    elif isinstance(artefact, Grant) and moment >= (end := _end(artefact, loaded)):
        found.append(f"older than the lifetime that is set now, which ended it {rfc3339(end)}")
    resource = getattr(artefact, "resource", None)
    if resource is not None and Resources.parse(loaded.resources, loaded.issuer).sealed(resource) is None:
        found.append("its resource is not in TOKENSVC_RESOURCES")
    if isinstance(artefact, Grant):
        try:
            identities = assembly.identities(loaded, assembly.listed(loaded))
            await identities.confirm(artefact.credential, artefact.identity, moment)
        except IdentityEnded as ended:
            found.append(str(ended))
        except TemporarilyUnavailable as unavailable:
            raise CommandFailed(f"whom it stands for cannot be asked now: {unavailable.reason}") from None
        scopes = Scopes.parse(loaded.scopes, loaded.role_scopes.get_secret_value())
        if not scopes.limit(artefact.scope, artefact.identity.role):
            found.append("its role may have none of its scopes any more")
    return found


def marked(grant: Grant, url: str) -> list[str]:
    """What the marks of a running replica say."""
    marks = Marks()
    try:
        for entry in ask(url, "GET", "/admin/denylist")["marks"]:
            marks.put(parse_subject(entry["kind"], entry["subject"]), Mark(entry["not_before"], entry["expires"]))
    except (KeyError, TypeError, ValueError):
        raise CommandFailed("what answered is no replica of this version") from None
    try:
        marks.check(grant)
    except Dead as dead:
        return [str(dead)]
    return []


def _end(grant: Grant, loaded: Settings) -> int:
    """When the present lifetimes of its client end it."""
    general = assembly.lifetimes(loaded)
    clients = assembly.listed(loaded).clients.values()
    own: Lifetimes = next((client.lifetimes for client in clients if client.handle == grant.client), general)
    return own.end_of(grant)
