"""From a signed request to AWS's answer: whose key, whether it may, and in whose words not."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from mooring.access.asking import Asked
from mooring.access.deciding import Decisions, Denied
from mooring.access.keys import AccessKey, Keyring
from mooring.access.policies import policy_of
from mooring.access.refusals import refusal
from mooring.access.verifying import Verifier
from mooring.wire.dialects import JSON, QUERY, REST_JSON
from mooring.wire.recognition import RawHead
from mooring.wire.signatures import Flaw, Unverified
from mooring.wire.signing import Credentials, signed_headers

NOW = 1_790_000_000
BODY = b'{"a": 1}'
DIGEST = hashlib.sha256(BODY).hexdigest().encode()
MAY_INVOKE = {"Statement": {"Effect": "Allow", "Action": "sagemaker:Invoke*", "Resource": "*"}}


def key(policy: dict[str, Any] | None = None, secret: str = "s3cret") -> AccessKey:
    return AccessKey("MKIAKEY", secret, "ann", None if policy is None else policy_of(policy))


def keyring(*keys: AccessKey) -> Keyring:
    made = Keyring()
    made.replace(keys)
    return made


def request(secret: str = "s3cret", key_id: str = "MKIAKEY", token: str | None = None) -> RawHead:
    headers = signed_headers(
        Credentials(key_id, secret, token),
        "sagemaker",
        "us-east-1",
        "POST",
        "http://localhost:8080/",
        digest=DIGEST,
        now=NOW,
    )
    return RawHead(b"POST", b"/", b"", [(name.lower().encode(), value.encode()) for name, value in headers.items()])


def verify(head: RawHead, held: Keyring, payload: bytes = DIGEST) -> AccessKey:
    return Verifier(held, lambda: float(NOW)).verify(head, lambda: payload, ["sagemaker"])


def flaw(head: RawHead, held: Keyring, payload: bytes = DIGEST) -> Flaw:
    with pytest.raises(Unverified) as caught:
        verify(head, held, payload)
    return caught.value.flaw


def test_a_request_is_its_keys_and_nobody_elses() -> None:
    assert verify(request(), keyring(key())).name == "ann"
    assert flaw(request("other"), keyring(key())) is Flaw.MISMATCH
    assert flaw(request(), keyring(key()), DIGEST[::-1]) is Flaw.MISMATCH
    assert flaw(request(key_id="MKIAOTHER"), keyring(key())) is Flaw.UNKNOWN_KEY
    assert flaw(request(token="t"), keyring(key())) is Flaw.BAD_TOKEN
    assert flaw(request(), keyring()) is Flaw.UNKNOWN_KEY


def test_a_changed_key_is_another_one_at_once() -> None:
    held = keyring(key())
    verifier = Verifier(held, lambda: float(NOW))
    verifier.verify(request(), lambda: DIGEST, ["sagemaker"])
    held.replace([key(secret="new")])
    assert flaw(request(), held) is Flaw.MISMATCH
    held.replace([])
    assert flaw(request(), held) is Flaw.UNKNOWN_KEY


def test_decisions_are_of_the_policy_in_force() -> None:
    held = keyring(key(MAY_INVOKE))
    decisions = Decisions("000000000000", "mooring")
    invoke, create = Asked("sagemaker:InvokeEndpoint", "arn:x"), Asked("sagemaker:CreateModel", "arn:y")
    found = held.find("MKIAKEY")
    assert found is not None
    for _ in range(2):
        decisions.require(found, [invoke], "us-east-1")
        with pytest.raises(Denied) as caught:
            decisions.require(found, [invoke, create], "us-east-1")
    assert str(caught.value) == (
        "User: arn:aws:sts::000000000000:assumed-role/mooring/ann is not authorized to perform: sagemaker:CreateModel "
        "on resource: arn:y because no identity-based policy allows the sagemaker:CreateModel action"
    )
    denying = {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    held.replace([key(denying)])
    changed = held.find("MKIAKEY")
    assert changed is not None
    with pytest.raises(Denied, match="resource: arn:x with an explicit deny in an identity-based policy"):
        decisions.require(changed, [invoke], "us-east-1")
    held.replace([key()])
    everything = held.find("MKIAKEY")
    assert everything is not None
    decisions.require(everything, [invoke, create], "us-east-1")


MISSING = "MissingAuthenticationToken"


@pytest.mark.parametrize(
    ("error", "in_json", "in_xml"),
    [
        (Unverified(Flaw.MISSING, "m"), (MISSING + "Exception", 400), (MISSING, 403)),
        (Unverified(Flaw.INCOMPLETE, "m"), ("IncompleteSignatureException", 400), ("IncompleteSignature", 400)),
        (Unverified(Flaw.UNKNOWN_KEY, "m"), ("UnrecognizedClientException", 400), ("InvalidClientTokenId", 403)),
        (Unverified(Flaw.MISMATCH, "m"), ("InvalidSignatureException", 400), ("SignatureDoesNotMatch", 403)),
        (Unverified(Flaw.TOO_OLD, "m"), ("InvalidSignatureException", 400), ("SignatureDoesNotMatch", 403)),
        (Denied("m"), ("AccessDeniedException", 400), ("AccessDenied", 403)),
    ],
)  # fmt: skip
def test_each_protocol_has_its_own_codes(
    error: Unverified | Denied, in_json: tuple[str, int], in_xml: tuple[str, int]
) -> None:
    for protocol, expected in ((JSON, in_json), (QUERY, in_xml)):
        told = refusal(error, protocol)
        assert (told.code, told.status, told.message) == (*expected, "m")
    assert refusal(error, REST_JSON, of_runtime=True).status == 403


@pytest.mark.parametrize("each", Flaw)
def test_every_flaw_has_a_code(each: Flaw) -> None:
    assert refusal(Unverified(each, "m"), QUERY).code


def test_secrets_are_in_no_text() -> None:
    made = key(MAY_INVOKE)
    assert "s3cret" not in f"{made!r} {made.signing!r} {Credentials('a', 's3cret', 's3cret')!r}"
    assert AccessKey.from_document(made.to_document()).is_same(made)
