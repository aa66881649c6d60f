from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection, create_engine

from mooring.errors import AlreadyExists, NotFound
from mooring.hosting.endpoints import EndpointStatus, Phase, Remnant, Rollout, Turn
from mooring.hosting.naming import Scope
from mooring.store import answers, endpoints, schema, tags
from tests.store.making import HERE, an_endpoint


@pytest.fixture
def conn() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        schema.metadata.create_all(connection)
        yield connection
    engine.dispose()


def test_a_record_comes_back_as_it_was(conn: Connection) -> None:
    record = an_endpoint("e", failure_reason="why", deployment_config={"a": [1]}, forced=True)
    endpoints.insert(conn, record)
    assert endpoints.get(conn, HERE, "e") == record
    assert endpoints.by_uid(conn, record.uid) == record
    assert endpoints.all(conn) == [record]


def test_a_rollout_and_a_remnant_come_back_as_they_were(conn: Connection) -> None:
    record = an_endpoint("e")
    rollout = Rollout(
        generation=2,
        config_name="d",
        config={"a": [1]},
        variants=record.variants,
        deployment_config=None,
        guarded=True,
        before=EndpointStatus.IN_SERVICE,
        started_at=1.5,
        timeout_s=600,
        phase=Phase.BAKING,
        phase_since=2.5,
        step=1,
        wait_until=3.5,
        turned=Turn(2, Phase.SHIFTING),
    )
    remnant = Remnant(3, record.variants, {"v": 0.25})
    record = replace(record, rollout=rollout, remnant=remnant, generation=1, last_generation=3, starting=True)
    endpoints.insert(conn, record)
    assert endpoints.get(conn, HERE, "e") == record


def test_saving_replaces_by_uid_only(conn: Connection) -> None:
    record = an_endpoint()
    endpoints.insert(conn, record)
    changed = replace(record, status=EndpointStatus.IN_SERVICE, modified_at=11.0)
    assert endpoints.save(conn, changed)
    assert endpoints.get(conn, HERE, "e") == changed
    assert not endpoints.save(conn, replace(changed, uid="another"))


def test_names_are_unique_ignoring_case_in_a_scope_and_found_by_case(conn: Connection) -> None:
    endpoints.insert(conn, an_endpoint("Name"))
    with pytest.raises(AlreadyExists, match=r'Cannot create already existing endpoint "arn:aws:sagemaker:.*/nAme"\.'):
        endpoints.insert(conn, an_endpoint("nAme"))
    endpoints.insert(conn, an_endpoint("Name", uid="elsewhere", scope=Scope(HERE.account, "eu-west-1")))
    with pytest.raises(NotFound, match='Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/na'):
        endpoints.require(conn, HERE, "name")


def test_deleting_takes_the_tags_along(conn: Connection) -> None:
    record = an_endpoint()
    endpoints.insert(conn, record)
    tags.put(conn, record.arn, {"k": "v"})
    assert endpoints.delete(conn, record.uid)
    assert not endpoints.delete(conn, record.uid)
    assert tags.of(conn, record.arn) == {}


def test_answers_are_replaced_and_pruned(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        answers.put(conn, answers.Answer(f"id{number}", "d", 200, "t", b"body", 1000.0 + number))
    answers.put(conn, answers.Answer("id4", "d2", 200, "t", b"new", 1004.0))
    found = answers.get(conn, "id4")
    assert found is not None
    assert (found.digest, found.body) == ("d2", b"new")
    answers.prune(conn, 1001.0 + answers.KEPT_S)
    assert [answers.get(conn, f"id{number}") is None for number in range(5)] == [True, False, False, False, False]
    monkeypatch.setattr(answers, "MOST_KEPT", 2)
    answers.prune(conn, 1004.0)
    assert [answers.get(conn, f"id{number}") is None for number in range(5)] == [True, True, True, False, False]
