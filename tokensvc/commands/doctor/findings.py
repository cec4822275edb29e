"""What is wrong with replicas that should be alike, and what to do about it. Pure: it looks at what they said."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

from pydantic import SecretStr

from tokensvc.commands import rfc3339
from tokensvc.commands.doctor.examination import Examined, Replica, Silent, Version
from tokensvc.keyring import CLIENT_KEYS, KEYS, SIGNING_KEYS
from tokensvc.ledger.marks import MAX_AHEAD
from tokensvc.settings import Settings, variable_name

TOLERANCE = 1_000
"""How far a clock may be off the others', in milliseconds, before it is worth a word."""
PAIR = 2
_NOT_BY_DIGEST = frozenset(
    variable_name(name)
    for name in (
        *("issuer", "keys", "client_keys", "signing_keys"),
        *("ledger", "peers", "peers_bootstrap", "trusted_proxies"),
    )
)
"""Settings that are compared in another way, and those that may rightly differ."""
_SECRET = frozenset(
    variable_name(name) for name, field in Settings.model_fields.items() if field.annotation is SecretStr
)
_SILENT = "start it, or correct the address or the secret"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not as it should be, and what to do."""

    problem: str
    remedy: str


def find(examined: Sequence[Examined], earlier: Sequence[Examined] = ()) -> list[Finding]:
    """All that is wrong. `earlier` is what the same ones said a second before, where they were asked twice."""
    replicas = [one for one in examined if isinstance(one, Replica)]
    before = [one for one in earlier if isinstance(one, Replica)]
    silent = [Finding(f"{one.name} {one.problem}", _SILENT) for one in examined if isinstance(one, Silent)]
    if not replicas:
        return silent
    return [*silent, *(found for check in _CHECKS for found in check(replicas)), *_marks(replicas, before)]


def cautions(examined: Sequence[Examined]) -> list[str]:
    """What is in order as long as nothing fails, and for the rings of all alike what is to be done, each said once."""
    replicas = [one for one in examined if isinstance(one, Replica)]
    said = [warning for one in replicas for warning in one.warnings]
    if any(len(_fleet(one)) == PAIR for one in replicas):
        said.append(
            "two replicas do not survive the loss of one: the other answers 503 to revocations, and then to "
            "introspection; run three"
        )
    return list(dict.fromkeys(said))


def same_marks(examined: Sequence[Examined]) -> bool:
    return len({one.marks_digest for one in examined if isinstance(one, Replica)}) < 2


def _readiness(replicas: Sequence[Replica]) -> Iterator[Finding]:
    for one in replicas:
        if one.unready:
            yield Finding(f"{one.name} is not ready: {one.unready}", "wait a moment, then look into its log")
        elif one.stale:
            remedy = "let it reach them; what was revoked there meanwhile it cannot know"
            yield Finding(f"{one.name} answers 503 at introspection: its news of the others are too old", remedy)


def _reloads(replicas: Sequence[Replica]) -> Iterator[Finding]:
    for one in replicas:
        if one.refused:
            remedy = "correct the file; until then it goes on with the settings that it had"
            yield Finding(f"{one.name} refused its files when they changed: {one.refused}", remedy)


def _versions(replicas: Sequence[Replica]) -> Iterator[Finding]:
    groups = _groups({one.name: one.version for one in replicas})
    if len(groups) > 1:
        yield Finding(f"the versions of tokensvc differ: {_said(groups)}", "neighbouring ones agree; end the rollout")


def _issuers(replicas: Sequence[Replica]) -> Iterator[Finding]:
    groups = _groups({one.name: one.issuer for one in replicas})
    if len(groups) > 1:
        remedy = "give all the same; none opens what was sealed for another issuer"
        yield Finding(f"TOKENSVC_ISSUER differs: {_said(groups)}", remedy)


def _settings(replicas: Sequence[Replica]) -> Iterator[Finding]:
    """Digests of secrets are made under a key from the ring of client_ids: of no use where those begin differently."""
    oldest = {min(_ring(one, CLIENT_KEYS), key=lambda version: version.activates).fingerprint for one in replicas}
    left_out = _NOT_BY_DIGEST | (_SECRET if len(oldest) > 1 else frozenset())
    for variable in sorted({variable for one in replicas for variable in one.settings} - left_out):
        # A replica of another version may not know the variable.
        digests = {one.name: one.settings[variable] for one in replicas if variable in one.settings}
        groups = _groups(digests)
        if len(groups) > 1:
            yield Finding(f"{variable} differs: {' | '.join(groups.values())}", "give all replicas the same")


def _rings(replicas: Sequence[Replica]) -> Iterator[Finding]:
    for ring in (KEYS, CLIENT_KEYS, SIGNING_KEYS):
        for kid in dict.fromkeys(version.kid for one in replicas for version in _ring(one, ring)):
            holders = {one.name: version for one in replicas for version in _ring(one, ring) if version.kid == kid}
            lacking = [one.name for one in replicas if one.name not in holders]
            yield from _key(f"{kid} of {ring}", holders, lacking)


def _key(what: str, holders: Mapping[str, Version], lacking: Sequence[str]) -> Iterator[Finding]:
    """One version of a ring, as some replicas have it and others lack it."""
    secrets = _groups({name: version.fingerprint for name, version in holders.items()})
    times = _groups({name: rfc3339(version.activates) for name, version in holders.items()})
    if len(secrets) > 1:
        remedy = "write the one right entry everywhere; what one seals, another cannot open"
        yield Finding(f"{what} is two secrets: {' | '.join(secrets.values())}", remedy)
    if len(times) > 1:
        yield Finding(f"{what} begins to seal at different times: {_said(times)}", "write one entry everywhere")
    if lacking:
        yield Finding(f"{what} is missing on {', '.join(lacking)}", _to_add(next(iter(holders.values()))))


def _to_add(version: Version) -> str:
    if version.state == "staged":
        return f"add it there before {rfc3339(version.activates)}, when the others begin to seal with it"
    if version.state == "active":
        return "add it there at once; what the others seal with it is refused there"
    return "add it there, or drop it everywhere; what it sealed is refused there and good elsewhere"


def _ledgers(replicas: Sequence[Replica]) -> Iterator[Finding]:
    """Without peers, replicas share a ledger, and with it the time since when it is complete."""
    begun = _groups({one.name: rfc3339(one.marks_since) for one in replicas})
    if len(replicas) > 1 and not any(one.peers for one in replicas):
        if len(begun) > 1 or any(one.ledger == "memory" for one in replicas):
            remedy = "set TOKENSVC_PEERS on all, or one TOKENSVC_LEDGER for the replicas of a machine"
            yield Finding("they have neither peers nor one ledger: a revocation ends tokens on one of them", remedy)
    elif len(begun) > 1:
        remedy = "restart the later ones while the others run, so that they inherit from them"
        yield Finding(f"what was minted before is refused, but not on all alike: {_said(begun)}", remedy)


def _clocks(replicas: Sequence[Replica]) -> Iterator[Finding]:
    usual = median_low(one.ahead for one in replicas)
    for one in replicas:
        off = one.ahead - usual
        if abs(off) > TOLERANCE + one.uncertain:
            which = "ahead of" if off > 0 else "behind"
            remedy = f"set it by NTP; beyond {MAX_AHEAD // 1000} s a replica is not ready"
            yield Finding(f"the clock of {one.name} is {abs(off) / 1000:.1f} s {which} the others", remedy)


def _peers(replicas: Sequence[Replica]) -> Iterator[Finding]:
    """Each should hear all others. Where workers share an address, each of them is a replica, and one was examined."""
    for one in replicas:
        heard = [peer for peer in one.peers if peer.is_heard]
        known = {peer.replica for peer in heard} | {peer.url for peer in heard}
        unheard = [other.name for other in replicas if other is not one and not {other.replica, other.url} & known]
        if one.peers and unheard:
            remedy = f"look whether its TOKENSVC_PEERS names them, and whether they can be reached from {one.name}"
            yield Finding(f"{one.name} does not hear {', '.join(unheard)}", remedy)


def _marks(replicas: Sequence[Replica], before: Sequence[Replica]) -> Iterator[Finding]:
    """Where many are revoked every second no two answers are alike, but none is behind what others had a second ago."""
    if same_marks(replicas) or same_marks(before):
        return
    most = max(one.marks for one in before)
    still = {one.replica: one.marks_digest for one in before}
    behind = [one for one in replicas if one.marks < most or one.marks_digest == still.get(one.replica)]
    if behind:
        counts = _said(_groups({one.name: str(one.marks) for one in replicas}))
        remedy = "let them hear of each other, by TOKENSVC_PEERS or one TOKENSVC_LEDGER"
        yield Finding(f"the revocations differ, and after a second still do: {counts}", remedy)


_CHECKS = (_readiness, _reloads, _versions, _issuers, _rings, _settings, _ledgers, _clocks, _peers)


def _fleet(replica: Replica) -> set[str]:
    """Itself and its peers, none of them twice though its own address may be among theirs; itself where it has none."""
    return {replica.replica, *(peer.replica or peer.url for peer in replica.peers)}


def _ring(replica: Replica, ring: str) -> list[Version]:
    return [version for version in replica.rings if version.ring == ring]


def _groups(values: Mapping[str, str]) -> dict[str, str]:
    """Each value with the names that have it, joined."""
    return {value: ", ".join(name for name in values if values[name] == value) for value in values.values()}


def _said(groups: Mapping[str, str]) -> str:
    return "; ".join(f"{value} on {names}" for value, names in groups.items())
