"""XGBoost without a script, through an endpoint: each image's own shape of output."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import xgboost

from tests.acceptance.running import Deployment, archive

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:{tag}"
ROWS = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.2, 0.1, 1.0], [0.9, 0.8, 0.5]] * 10, "float32")
CSV = "\n".join(",".join(map(str, row)) for row in ROWS[:2].tolist())


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    labels = np.array([0, 1, 0, 1] * 10)
    return xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(ROWS, labels), 3)


@pytest.mark.parametrize(("tag", "one_line"), [("1.2-1", True), ("1.2-2", False), ("1.7-1", False), ("3.2-0", False)])
def test_output_has_the_shape_of_the_tags_container(
    shared: Deployment, booster: xgboost.Booster, tag: str, one_line: bool
) -> None:
    data = pickle.dumps(booster) if one_line else bytes(booster.save_raw("ubj"))
    name = shared.model(
        f"{shared.prefix}-{tag.replace('.', '-')}", data=archive({"xgboost-model": data}), Image=IMAGE.format(tag=tag)
    )
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    wanted = booster.predict(xgboost.DMatrix(ROWS[:2])).tolist()

    def ask(accept: str) -> str:
        response = shared.runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Accept=accept, Body=CSV)
        text: str = response["Body"].read().decode()
        return text

    if one_line:
        assert ask("text/csv") == ask("application/json") == ",".join(map(str, wanted))
    else:
        assert ask("text/csv") == "".join(f"{score}\n" for score in wanted)
        assert [each["score"] for each in json.loads(ask("application/json"))["predictions"]] == pytest.approx(wanted)
