"""What CreateModel accepts beyond its shapes, and what DescribeModel adds to what was given."""

from __future__ import annotations

from mooring.hosting.rules import Members, refuse_unless

ENVIRONMENT_LIMIT_BYTES = 32 * 1024


def check_model(model: Members) -> None:
    """Raises `Refused` in the words of the first rule that does not hold."""
    refuse_unless(RULES, model)


def containers_of(model: Members) -> list[Members]:
    """The containers of a model in their order, whichever way they were given."""
    primary = model.get("PrimaryContainer")
    return [primary] if primary is not None else list(model.get("Containers", ()))


def completed_model(model: Members) -> Members:
    """The model with AWS's defaults, as it is kept and described; without its tags."""
    kept = {name: value for name, value in model.items() if name != "Tags"}
    if kept.get("PrimaryContainer") is not None:
        kept["PrimaryContainer"] = _completed_container(kept["PrimaryContainer"])
        kept.pop("Containers", None)
    else:
        kept["Containers"] = [_completed_container(container) for container in kept["Containers"]]
    kept.setdefault("EnableNetworkIsolation", False)
    return kept


def _completed_container(given: Members) -> Members:
    container = {"Mode": "SingleModel", "Environment": {}, **given}
    url = container.get("ModelDataUrl")
    if url is not None and "ModelDataSource" not in container:
        container["ModelDataSource"] = {
            "S3DataSource": {"S3Uri": url, "S3DataType": "S3Object", "CompressionType": "Gzip"}
        }
    return container


def exactly_one_way_of_giving_containers(model: Members) -> str | None:
    if (model.get("PrimaryContainer") is not None) != bool(model.get("Containers")):
        return None
    return "You must provide exactly one of PrimaryContainer and Containers."


def every_container_says_what_runs(model: Members) -> str | None:
    sources = ("Image", "ModelPackageName", "InferenceSpecificationName")
    if all(any(source in container for source in sources) for container in containers_of(model)):
        return None
    return "Either Image or ModelPackageName must be specified for every container."


def hostnames_are_unique(model: Members) -> str | None:
    names = _hostnames(model)
    return None if len(set(names)) == len(names) else "Container hostnames must be unique."


def direct_containers_have_hostnames(model: Members) -> str | None:
    direct = model.get("InferenceExecutionConfig", {}).get("Mode") == "Direct"
    if not direct or len(_hostnames(model)) == len(containers_of(model)):
        return None
    return (
        "ContainerHostname must be specified for every container when the Mode of InferenceExecutionConfig is Direct."
    )


def hostnames_are_given_to_all_or_none(model: Members) -> str | None:
    if len(_hostnames(model)) in (0, len(containers_of(model))):
        return None
    return "ContainerHostname must be specified for all containers or for none of them."


def model_data_is_named_once(model: Members) -> str | None:
    for container in containers_of(model):
        url = container.get("ModelDataUrl")
        source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
        if url is not None and source is not None and url != source:  # DescribeModel gives both, alike
            return "Only one of ModelDataUrl and ModelDataSource can be specified for a container."
    return None


def environment_is_small_enough(model: Members) -> str | None:
    variables = [item for container in containers_of(model) for item in container.get("Environment", {}).items()]
    if sum(len(name.encode()) + len(value.encode()) for name, value in variables) <= ENVIRONMENT_LIMIT_BYTES:
        return None
    return "The total size of all environment variables must not exceed 32 KB."


def _hostnames(model: Members) -> list[str]:
    return [container["ContainerHostname"] for container in containers_of(model) if "ContainerHostname" in container]


RULES = (
    exactly_one_way_of_giving_containers,
    every_container_says_what_runs,
    hostnames_are_unique,
    direct_containers_have_hostnames,
    hostnames_are_given_to_all_or_none,
    model_data_is_named_once,
    environment_is_small_enough,
)
