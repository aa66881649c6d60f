"""Temporary credentials: made by whoever holds the session key, and good for no longer and no more than they say."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.access.keys import AccessKey, Keyring
from mooring.access.policies import policy_of
from mooring.access.sessions import Session, Sessions, issue
from mooring.wire.signatures import Flaw, Unverified
from tests.wire.botocore_half import CALM

SESSION_KEY = b"k" * 32
POLICY = policy_of({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
ANN = AccessKey("MKIAANN", "s3cret", "ann", POLICY)
NOW = 1000


def keyring(*keys: AccessKey, session_key: bytes = SESSION_KEY) -> Keyring:
    held = Keyring()
    held.replace(keys, session_key)
    return held


def flaw(held: Keyring, session: Session, *, now: float = NOW, token: bytes | None = None, key_id: str = "") -> Flaw:
    with pytest.raises(Unverified) as caught:
        Sessions(held).open(key_id or session.access_key_id, token or session.token.encode(), now)
    return caught.value.flaw


def test_a_session_is_its_key_for_a_while() -> None:
    made = issue(SESSION_KEY, ANN, NOW + 60)
    opener = Sessions(keyring(ANN))
    for _ in range(2):
        key = opener.open(made.access_key_id, made.token.encode(), NOW)
        assert (key.id, key.signing.secret, key.name, key.policy) == (made.access_key_id, made.secret, "ann", POLICY)
    assert key.parent == "MKIAANN"
    with pytest.raises(Unverified) as caught:
        opener.open(made.access_key_id, made.token.encode(), NOW + 60)
    assert caught.value.flaw is Flaw.EXPIRED_TOKEN
    assert made.secret not in repr(made)
    assert made.token not in repr(made)


def test_a_session_of_a_session_belongs_to_the_same_key() -> None:
    first = issue(SESSION_KEY, ANN, NOW + 60)
    key = Sessions(keyring(ANN)).open(first.access_key_id, first.token.encode(), NOW)
    second = issue(SESSION_KEY, key, NOW + 60)
    assert Sessions(keyring(ANN)).open(second.access_key_id, second.token.encode(), NOW).parent == "MKIAANN"


def test_a_token_is_good_for_nothing_else() -> None:
    made, other = issue(SESSION_KEY, ANN, NOW + 60), issue(SESSION_KEY, ANN, NOW + 60)
    assert flaw(keyring(ANN), made, key_id=other.access_key_id) is Flaw.BAD_TOKEN
    assert flaw(keyring(ANN), made, key_id="MKIAANN") is Flaw.BAD_TOKEN
    assert flaw(keyring(ANN, session_key=b"o" * 32), made) is Flaw.BAD_TOKEN
    assert flaw(keyring(ANN, session_key=b""), issue(b"", ANN, NOW + 60)) is Flaw.BAD_TOKEN
    assert flaw(keyring(), made) is Flaw.BAD_TOKEN
    longer = base64.urlsafe_b64encode(base64.urlsafe_b64decode(made.token).replace(b"1060", b"9060"))
    assert flaw(keyring(ANN), made, token=longer) is Flaw.BAD_TOKEN


def test_a_revoked_key_takes_its_sessions_with_it() -> None:
    held = keyring(ANN)
    opener, made = Sessions(held), issue(SESSION_KEY, ANN, NOW + 60)
    opener.open(made.access_key_id, made.token.encode(), NOW)
    held.replace([], SESSION_KEY)
    with pytest.raises(Unverified):
        opener.open(made.access_key_id, made.token.encode(), NOW)


@CALM
@given(st.binary(max_size=80))
def test_any_other_text_is_no_token(text: bytes) -> None:
    for token in (text, base64.urlsafe_b64encode(text)):
        if token:
            assert flaw(keyring(ANN), issue(SESSION_KEY, ANN, NOW + 60), token=token) is Flaw.BAD_TOKEN
