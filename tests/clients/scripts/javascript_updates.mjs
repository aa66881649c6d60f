// The AWS SDK for JavaScript v3: an endpoint that gets another config while calls go on, none of which fails.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { GetRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import {
  CreateEndpointCommand, CreateEndpointConfigCommand, CreateModelCommand, DeleteEndpointCommand,
  DescribeEndpointCommand, SageMakerClient, UpdateEndpointCommand, waitUntilEndpointInService,
} from "@aws-sdk/client-sagemaker";
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";

const [s3, sagemaker] = [new S3Client(), new SageMakerClient()];
const runtime = new SageMakerRuntimeClient({ maxAttempts: 1 });
const image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3";
const bucket = "javascript-updates";
const EndpointName = "js-updated";
const soon = { client: sagemaker, maxWaitTime: 60, minDelay: 1, maxDelay: 2 };
const role = (await new IAMClient().send(new GetRoleCommand({ RoleName: "mooring" }))).Role.Arn;

await s3.send(new CreateBucketCommand({ Bucket: bucket }));
for (const name of ["one", "two"]) {
  const [Key, ModelName] = [`${name}/model.tar.gz`, `js-update-${name}`];
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: readFileSync(`${name}.tar.gz`) }));
  const PrimaryContainer = { Image: image, ModelDataUrl: `s3://${bucket}/${Key}` };
  await sagemaker.send(new CreateModelCommand({ ModelName, ExecutionRoleArn: role, PrimaryContainer }));
  const ProductionVariants = [
    { VariantName: "all", ModelName, InitialInstanceCount: 1, InstanceType: "ml.m5.large" },
  ];
  await sagemaker.send(new CreateEndpointConfigCommand({ EndpointConfigName: ModelName, ProductionVariants }));
}
await sagemaker.send(new CreateEndpointCommand({ EndpointName, EndpointConfigName: "js-update-one" }));
await waitUntilEndpointInService(soon, { EndpointName });

const answers = [];
let going = true;
const caller = (async () => {
  while (going) {
    const answer = await runtime.send(new InvokeEndpointCommand({ EndpointName, ContentType: "text/csv", Body: "1" }));
    answers.push(answer.Body.transformToString());
  }
})();
await sagemaker.send(new UpdateEndpointCommand({ EndpointName, EndpointConfigName: "js-update-two" }));
const status = (await sagemaker.send(new DescribeEndpointCommand({ EndpointName }))).EndpointStatus;
assert(["Updating", "InService"].includes(status), status);
await waitUntilEndpointInService(soon, { EndpointName });
const before = answers.length;
while (answers.length < before + 20) await new Promise((resolve) => setTimeout(resolve, 10));
going = false;
await caller;
assert.equal(answers[0], "one");
assert(answers.slice(-10).every((answer) => answer === "two"));
await sagemaker.send(new DeleteEndpointCommand({ EndpointName }));
