"""The project's cluster.yaml on moto's EC2 and IAM, which record the calls of Ray's autoscaler."""

import contextlib
import copy

import boto3
import botocore.client
import pytest
import yaml
from moto import mock_aws

from tests.testing.facts import ROOT

REGION = "us-west-2"
OFFICE = "198.51.100.0/24"


@contextlib.contextmanager
def recorded_aws(home):
    """Mock AWS with the profiles of cluster.yaml, and yield a list that collects later calls as (service, name).

    Args:
        home: Home directory, in which Ray writes the SSH key.
    """
    calls = []
    call = botocore.client.BaseClient._make_api_call

    def record(client, operation, arguments):
        calls.append((client.meta.service_model.service_name, operation))
        return call(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patched, mock_aws():
        for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "HOME": str(home)}.items():
            patched.setenv(name, value)
        for name in ("rradistill-head", "rradistill-worker"):
            boto3.client("iam", REGION).create_instance_profile(InstanceProfileName=name)
        patched.setattr(botocore.client.BaseClient, "_make_api_call", record)
        yield calls


def new_security_group():
    """Create a security group that allows SSH from one network, and return its id."""
    ec2 = boto3.client("ec2", REGION)
    network = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="rradistill", Description="nodes", VpcId=network)["GroupId"]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": OFFICE}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])
    return group


def networks_of(group):
    """Return the networks from which a security group allows traffic."""
    (found,) = boto3.client("ec2", REGION).describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return [network["CidrIp"] for rule in found["IpPermissions"] for network in rule["IpRanges"]]


def cluster_file(group=None):
    """Return the content of cluster.yaml.

    Args:
        group: Security group to fill in; None keeps the placeholder.
    """
    file = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    for node_type in file["available_node_types"].values():
        node_type["node_config"] = copy.deepcopy(node_type["node_config"])
        if group:
            node_type["node_config"]["SecurityGroupIds"] = [group]
    return file
