"""The AWS CLI: a key of KMS and its alias, what is encrypted with it, and objects that are."""

import base64
import json
import pathlib
import subprocess
import sys

AWS = pathlib.Path(sys.executable).with_name("aws")
BUCKET = "keys-of-the-aws-cli"
SECRET = b"nobody may read this on the disk"


def run(*arguments, status=0):
    done = subprocess.run([AWS, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if status == 0 else done.stderr


def kms(*arguments):
    """What a command of KMS's prints, read."""
    printed = run("kms", *arguments)
    return json.loads(printed) if printed else None


pathlib.Path("secret").write_bytes(SECRET)
made = kms("create-key", "--description", "of the AWS CLI", "--tags", "TagKey=team,TagValue=blue")["KeyMetadata"]
key = made["KeyId"]
run("kms", "create-alias", "--alias-name", "alias/cli", "--target-key-id", key)
assert [each["AliasName"] for each in kms("list-aliases", "--key-id", key)["Aliases"]] == ["alias/cli"]
assert kms("describe-key", "--key-id", "alias/cli")["KeyMetadata"]["Arn"] == made["Arn"]
assert key in [each["KeyId"] for each in kms("list-keys")["Keys"]]

context = ("--encryption-context", "who=cli")
blob = kms("encrypt", "--key-id", "alias/cli", "--plaintext", "fileb://secret", *context)["CiphertextBlob"]
pathlib.Path("blob").write_bytes(base64.b64decode(blob))
opened = kms("decrypt", "--ciphertext-blob", "fileb://blob", *context)
assert base64.b64decode(opened["Plaintext"]) == SECRET
assert "InvalidCiphertextException" in run("kms", "decrypt", "--ciphertext-blob", "fileb://blob", status=255)
assert "Plaintext" in kms("generate-data-key", "--key-id", "alias/cli", "--key-spec", "AES_256")
run("kms", "enable-key-rotation", "--key-id", key)
assert kms("get-key-rotation-status", "--key-id", key)["KeyRotationEnabled"] is True
policy = kms("get-key-policy", "--key-id", key, "--policy-name", "default")["Policy"]
pathlib.Path("policy.json").write_text(policy)
run("kms", "put-key-policy", "--key-id", key, "--policy-name", "default", "--policy", "file://policy.json")

run("s3", "mb", f"s3://{BUCKET}")
run("s3", "cp", "secret", f"s3://{BUCKET}/a", "--sse", "aws:kms", "--sse-kms-key-id", "alias/cli")
with pathlib.Path("large").open("wb") as file:
    file.truncate(20 * 1024 * 1024)
run("s3", "cp", "large", f"s3://{BUCKET}/large", "--sse", "aws:kms", "--sse-kms-key-id", key)
run("s3", "cp", f"s3://{BUCKET}/a", f"s3://{BUCKET}/b", "--sse", "AES256")
for name in ("a", "b"):
    run("s3", "cp", f"s3://{BUCKET}/{name}", f"back-{name}")
    assert pathlib.Path(f"back-{name}").read_bytes() == SECRET
run("s3", "cp", f"s3://{BUCKET}/large", "back-large")
assert pathlib.Path("back-large").read_bytes() == pathlib.Path("large").read_bytes()
head = json.loads(run("s3api", "head-object", "--bucket", BUCKET, "--key", "a"))
assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", made["Arn"])
rules = (
    '{"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/cli"}}]}'
)
run("s3api", "put-bucket-encryption", "--bucket", BUCKET, "--server-side-encryption-configuration", rules)
run("s3", "cp", "secret", f"s3://{BUCKET}/c")
assert json.loads(run("s3api", "head-object", "--bucket", BUCKET, "--key", "c"))["SSEKMSKeyId"] == made["Arn"]

run("kms", "disable-key", "--key-id", key)
assert "KMS.DisabledException" in run("s3api", "get-object", "--bucket", BUCKET, "--key", "a", "out", status=255)
told = kms("schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7")
assert told["KeyState"] == "PendingDeletion"
run("kms", "cancel-key-deletion", "--key-id", key)
run("kms", "enable-key", "--key-id", key)
run("s3", "cp", f"s3://{BUCKET}/a", "again")
run("s3", "rb", f"s3://{BUCKET}", "--force")
