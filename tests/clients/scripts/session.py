"""What most notebooks begin with: a session, a role, the default bucket, and data in it."""

import pathlib

import boto3
import sagemaker
from sagemaker.s3 import S3Downloader, S3Uploader

session = sagemaker.Session()
role = sagemaker.get_execution_role()
account = boto3.client("sts").get_caller_identity()["Account"]
assert role.startswith(f"arn:aws:iam::{account}:role/"), role
assert session.account_id() == account

bucket = session.default_bucket()
assert bucket == f"sagemaker-{session.boto_region_name}-{account}", bucket
boto3.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
assert sagemaker.Session().default_bucket() == bucket

pathlib.Path("churn/raw").mkdir(parents=True)
pathlib.Path("churn/train.csv").write_text("1,2,3\n")
pathlib.Path("churn/raw/all.csv").write_text("4,5,6\n")
assert session.upload_data("churn/train.csv", key_prefix="one") == f"s3://{bucket}/one/train.csv"
assert session.upload_data("churn", bucket=bucket, key_prefix="all") == f"s3://{bucket}/all"
assert session.list_s3_files(bucket, "all/") == ["all/raw/all.csv", "all/train.csv"]
assert session.read_s3_file(bucket, "all/raw/all.csv") == "4,5,6\n"
session.download_data("back", bucket=bucket, key_prefix="all")
assert pathlib.Path("back/train.csv").read_text() == "1,2,3\n"

uri = S3Uploader.upload_string_as_file_body("hello", f"s3://{bucket}/hello.txt")
assert S3Downloader.read_file(uri) == "hello"
assert S3Downloader.list(f"s3://{bucket}/one") == [f"s3://{bucket}/one/train.csv"]
