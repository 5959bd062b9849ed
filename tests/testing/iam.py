"""Evaluate the IAM policies in deploy/aws as IAM does, without conditions."""

import fnmatch
import json

from tests.testing.facts import ROOT

FOLDER = ROOT / "deploy" / "aws"


def statements(name):
    """Return the statements of a policy with lists of actions and resources."""
    parsed = json.loads((FOLDER / f"{name}.json").read_text())["Statement"]
    return [{**one, "Action": listed(one["Action"]), "Resource": listed(one["Resource"])} for one in parsed]


def listed(value):
    """Return a list; a single text becomes a list of one."""
    return value if isinstance(value, list) else [value]


def actions(name, service):
    """Return the actions of a service that a policy allows, without the service's prefix."""
    allowed = [action for one in statements(name) if one["Effect"] == "Allow" for action in one["Action"]]
    return {action.partition(":")[2] for action in allowed if action.startswith(f"{service}:")}


def allows(name, action, resource):
    """Return whether a policy allows an action on a resource: a statement allows it, and none denies it."""
    effects = {
        one["Effect"]
        for one in statements(name)
        if any(fnmatch.fnmatchcase(action, pattern) for pattern in one["Action"])
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in one["Resource"])
    }
    return effects == {"Allow"}


def allows_key(name, action, key):
    """Return whether a policy allows an S3 action on a key of the bucket, or on the bucket for an empty key."""
    return allows(name, f"s3:{action}", f"arn:aws:s3:::BUCKET/{key}" if key else "arn:aws:s3:::BUCKET")
