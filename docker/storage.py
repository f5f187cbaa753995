"""Prepare the S3 store: the bucket of the artifacts, and a user who may use it and nothing else.

Runs once each time the servers start, with the store's root key, which nothing else gets. The
bucket is made by S3; users and policies by RustFS's own interface, which is signed like S3:
https://docs.rustfs.com/administration/iam/policies

Reads ``S3_ENDPOINT``, ``S3_ROOT_ACCESS_KEY``, ``S3_ROOT_SECRET_KEY``, ``S3_ACCESS_KEY``,
``S3_SECRET_KEY``, ``S3_BUCKET``.
"""

import json
import os
import urllib.parse
import urllib.request

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

REGION = "us-east-1"


def create_bucket(endpoint: str, root: Credentials, bucket: str) -> None:
    """Make the bucket, unless it is there."""
    store = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=root.access_key,
        aws_secret_access_key=root.secret_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    if bucket not in {each["Name"] for each in store.list_buckets()["Buckets"]}:
        store.create_bucket(Bucket=bucket)


def bucket_policy(bucket: str) -> dict[str, object]:
    """Return what MLflow does with its bucket: list, read, write and delete objects."""
    objects = ["GetObject", "PutObject", "DeleteObject"]
    parts = ["AbortMultipartUpload", "ListMultipartUploadParts"]
    whole = ["ListBucket", "GetBucketLocation", "ListBucketMultipartUploads"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [f"s3:{name}" for name in whole],
                "Resource": [f"arn:aws:s3:::{bucket}"],
            },
            {
                "Effect": "Allow",
                "Action": [f"s3:{name}" for name in objects + parts],
                "Resource": [f"arn:aws:s3:::{bucket}/*"],
            },
        ],
    }


def administrate(
    endpoint: str, root: Credentials, path: str, query: dict[str, str], content: object
) -> None:
    """Send one signed request to RustFS's administration; raise if it is refused."""
    url = f"{endpoint.rstrip('/')}/rustfs/admin/v3/{path}?{urllib.parse.urlencode(query)}"
    body = json.dumps(content).encode()
    signed = AWSRequest("PUT", url, {"Content-Type": "application/json"}, body)
    S3SigV4Auth(root, "s3", REGION).add_auth(signed)
    request = urllib.request.Request(url, body, dict(signed.headers.items()), method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def create_user(endpoint: str, root: Credentials, user: Credentials, bucket: str) -> None:
    """Make the user, or give it the secret that is in force now, with the bucket's policy."""
    name = f"{bucket}-objects"
    secret = {"secretKey": user.secret_key, "status": "enabled"}
    administrate(endpoint, root, "add-canned-policy", {"name": name}, bucket_policy(bucket))
    administrate(endpoint, root, "add-user", {"accessKey": user.access_key}, secret)
    attached = {"policyName": name, "userOrGroup": user.access_key, "isGroup": "false"}
    administrate(endpoint, root, "set-user-or-group-policy", attached, {})


def main() -> None:
    """Prepare the store that the environment names."""
    given = os.environ
    root = Credentials(given["S3_ROOT_ACCESS_KEY"], given["S3_ROOT_SECRET_KEY"])
    user = Credentials(given["S3_ACCESS_KEY"], given["S3_SECRET_KEY"])
    create_bucket(given["S3_ENDPOINT"], root, given["S3_BUCKET"])
    create_user(given["S3_ENDPOINT"], root, user, given["S3_BUCKET"])
    print(f"The bucket {given['S3_BUCKET']} is ready, and {user.access_key} may use it.")


if __name__ == "__main__":
    main()
