"""Tags: AWS's list of Key and Value, and the rules for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mooring.errors import Refused

MOST_TAGS = 50
NO_SUCH_RESOURCE = "Resource does not exist."


def tags_of(listed: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The tags by key. Raises `Refused` for keys that are double or AWS's own."""
    found = {tag["Key"]: tag["Value"] for tag in listed}
    if len(found) < len(listed):
        raise Refused("Duplicate tag keys found. Tag keys must be unique.")
    refuse_reserved(found)
    return found


def refuse_reserved(keys: Iterable[str]) -> None:
    """Raises `Refused` for a key of AWS's own."""
    for key in keys:
        if key.lower().startswith("aws:"):
            raise Refused(f"System prefix 'aws:' reserved for AWS usage in tag key: {key}")


def refuse_too_many(tags: Mapping[str, str]) -> None:
    """Raises `Refused` for more tags than a resource can have."""
    if len(tags) > MOST_TAGS:
        raise Refused(f"The number of tags exceeds the limit of {MOST_TAGS}.")


def listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """The inverse of `tags_of`."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
