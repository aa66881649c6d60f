"""Who may use a key of KMS: the key's policy, and with it the policy of the access key that a call is signed with.

Where no access keys are needed everyone is the account's root. Mooring's own reading and writing is asked nothing: what
it does for an endpoint is what whoever made that endpoint asked for. A key that cannot be used stops it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mooring.access.deciding import Denied
from mooring.access.keys import AccessKey
from mooring.access.policies import Verdict
from mooring.hosting.kms_names import key_arn
from mooring.hosting.naming import callers_arn, partition
from mooring.keys.key_policies import KeyPolicy, KeyUse, Ruling, key_policy
from mooring.store.kms_keys import KmsKey

ANYONE = "session"


@dataclass(frozen=True, slots=True)
class KeyUser:
    """Whoever wants to use a key."""

    account: str
    role: str
    key: AccessKey | None = None
    """What the call is signed with; None where nobody is told apart."""
    via: str = ""
    """The service that calls in this user's name."""
    own: bool = False
    """Whether it is Mooring."""

    def require(self, key: KmsKey, action: str, context: Mapping[str, str] | None = None) -> None:
        """Raises `Denied` unless this user may do `action`, such as `Decrypt`, with the key."""
        if self.own:
            return
        use = self._use(key, action, context or {})
        ruling = key_policy(key.policy).rule(use)
        verdict = Verdict.ALLOWED
        if self.key is not None and self.key.policy is not None:
            verdict = self.key.policy.decide(use.action, use.key_arn)
        if Verdict.DENIED is verdict or ruling is Ruling.DENIED:
            kind = "resource" if ruling is Ruling.DENIED else "identity"
            raise self._denied(use, f"with an explicit deny in {_a(kind)}-based policy")
        if ruling is Ruling.ALLOWED or (ruling is Ruling.DELEGATED and verdict is Verdict.ALLOWED):
            return
        kind = "identity" if ruling is Ruling.DELEGATED else "resource"
        raise self._denied(use, f"because no {kind}-based policy allows the {use.action} action")

    def would_keep(self, policy: KeyPolicy, key: KmsKey) -> bool:
        """Whether under a policy somebody could still change it: this user, or the account."""
        ruling = policy.rule(self._use(key, "PutKeyPolicy", {}))
        return ruling in (Ruling.ALLOWED, Ruling.DELEGATED)

    def _use(self, key: KmsKey, action: str, context: Mapping[str, str]) -> KeyUse:
        part = partition(key.region)
        principals = {
            self.account,
            f"arn:{part}:iam::{self.account}:root",
            f"arn:{part}:iam::{self.account}:role/{self.role}",
            self._arn(key.region),
        }
        arn = key_arn(key.scope, key.id)
        return KeyUse(f"kms:{action}", arn, self.account, frozenset(principals), self.via, context)

    def _arn(self, region: str) -> str:
        name = ANYONE if self.key is None else self.key.name
        return callers_arn(self.account, region, self.role, name)

    def _denied(self, use: KeyUse, why: str) -> Denied:
        region = use.key_arn.split(":")[3]
        return Denied(
            f"User: {self._arn(region)} is not authorized to perform: {use.action} on resource: {use.key_arn} {why}"
        )


def _a(kind: str) -> str:
    return f"a {kind}" if kind == "resource" else f"an {kind}"
