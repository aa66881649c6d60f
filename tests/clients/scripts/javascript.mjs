// The AWS SDK for JavaScript v3: an endpoint's whole life, as a service in Node would drive it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { GetRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import {
  CreateBucketCommand, DeleteBucketCommand, DeleteObjectCommand, GetObjectCommand, PutObjectCommand, S3Client,
} from "@aws-sdk/client-s3";
import {
  AddTagsCommand, CreateEndpointCommand, CreateEndpointConfigCommand, CreateModelCommand, DeleteEndpointCommand,
  DeleteEndpointConfigCommand, DeleteModelCommand, DescribeEndpointCommand, DescribeEndpointConfigCommand,
  DescribeModelCommand, ListTagsCommand, SageMakerClient, UpdateEndpointWeightsAndCapacitiesCommand,
  paginateListEndpointConfigs, paginateListModels, waitUntilEndpointDeleted, waitUntilEndpointInService,
} from "@aws-sdk/client-sagemaker";
import {
  InvokeEndpointCommand, InvokeEndpointWithResponseStreamCommand, SageMakerRuntimeClient,
} from "@aws-sdk/client-sagemaker-runtime";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const s3 = new S3Client();
const sagemaker = new SageMakerClient();
const runtime = new SageMakerRuntimeClient();
const image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3";
const bucket = "with-javascript";
const soon = { client: sagemaker, maxWaitTime: 60, minDelay: 1, maxDelay: 2 };

// Who am I, and in which role?
const identity = await new STSClient().send(new GetCallerIdentityCommand());
const session = identity.Arn.split("/")[1];
const role = (await new IAMClient().send(new GetRoleCommand({ RoleName: session }))).Role.Arn;

// Model data: a body in one piece, and one of unknown length that is read back as a stream.
await s3.send(new CreateBucketCommand({ Bucket: bucket }));
for (const name of ["one", "two"]) {
  const Body = readFileSync(`${name}.tar.gz`);
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: `${name}/model.tar.gz`, Body }));
  const back = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: `${name}/model.tar.gz` }));
  assert.deepEqual(Buffer.from(await back.Body.transformToByteArray()), Body);
}

// Models and a config: what is read back is what was sent.
const models = ["js-one", "js-two"];
for (const ModelName of models) {
  const PrimaryContainer = {
    Image: image,
    ModelDataUrl: `s3://${bucket}/${ModelName.slice(3)}/model.tar.gz`,
    Environment: { OF_THE_MODEL: "1" },
  };
  await sagemaker.send(new CreateModelCommand({ ModelName, ExecutionRoleArn: role, PrimaryContainer }));
  const described = await sagemaker.send(new DescribeModelCommand({ ModelName }));
  for (const [member, value] of Object.entries(PrimaryContainer)) {
    assert.deepEqual(described.PrimaryContainer[member], value);
  }
  assert(described.CreationTime instanceof Date);
}
const variants = [["One", "js-one", 1], ["Two", "js-two", 0]].map(([VariantName, ModelName, InitialVariantWeight]) => ({
  VariantName, ModelName, InitialVariantWeight, InitialInstanceCount: 1, InstanceType: "ml.m5.large",
}));
for (const EndpointConfigName of ["js-a", "js-b", "js-c"]) {
  await sagemaker.send(new CreateEndpointConfigCommand({ EndpointConfigName, ProductionVariants: variants }));
}
const config = await sagemaker.send(new DescribeEndpointConfigCommand({ EndpointConfigName: "js-a" }));
assert.deepEqual(config.ProductionVariants, variants);

// The endpoint.
const created = await sagemaker.send(new CreateEndpointCommand({
  EndpointName: "js", EndpointConfigName: "js-a", Tags: [{ Key: "team", Value: "churn" }],
}));
await waitUntilEndpointInService(soon, { EndpointName: "js" });
const ResourceArn = created.EndpointArn;
await sagemaker.send(new AddTagsCommand({ ResourceArn, Tags: [{ Key: "stage", Value: "prod" }] }));
const { Tags: tags } = await sagemaker.send(new ListTagsCommand({ ResourceArn }));
assert.deepEqual(new Map(tags.map(({ Key, Value }) => [Key, Value])), new Map([["team", "churn"], ["stage", "prod"]]));

// Invocations: by weight, by name, and many at once.
const ask = async (more = {}) => {
  const answer = await runtime.send(new InvokeEndpointCommand({
    EndpointName: "js", ContentType: "text/csv", Body: "1,2,3", ...more,
  }));
  return [answer.InvokedProductionVariant, answer.Body.transformToString()];
};
assert.deepEqual(await ask(), ["One", "one"]);
assert.deepEqual(await ask({ TargetVariant: "Two", Body: Buffer.from([0, 1, 255]) }), ["Two", "two"]);
const answers = await Promise.all(Array.from({ length: 50 }, () => ask()));
assert(answers.every(([variant]) => variant === "One"));

// A stream, whose parts come as events.
const streamed = await runtime.send(new InvokeEndpointWithResponseStreamCommand({
  EndpointName: "js", ContentType: "text/csv", Body: "stream", Accept: "text/plain",
}));
assert.deepEqual([streamed.InvokedProductionVariant, streamed.ContentType], ["One", "text/plain; charset=utf-8"]);
let received = "";
for await (const event of streamed.Body) {
  received += Buffer.from(event.PayloadPart.Bytes).toString();
}
assert.equal(received, "one!");

await sagemaker.send(new UpdateEndpointWeightsAndCapacitiesCommand({
  EndpointName: "js",
  DesiredWeightsAndCapacities: [{ VariantName: "One", DesiredWeight: 0 }, { VariantName: "Two", DesiredWeight: 1 }],
}));
await waitUntilEndpointInService(soon, { EndpointName: "js" });
assert.deepEqual(await ask(), ["Two", "two"]);

// Lists, a page at a time.
const listed = async (pages, member, name) => {
  const found = [];
  for await (const page of pages) {
    assert(page[member].length <= 1);
    found.push(...page[member].map((each) => each[name]));
  }
  return found;
};
const byName = { NameContains: "js-", SortBy: "Name", SortOrder: "Ascending" };
const one = { client: sagemaker, pageSize: 1 };
assert.deepEqual(
  await listed(paginateListEndpointConfigs(one, byName), "EndpointConfigs", "EndpointConfigName"),
  ["js-a", "js-b", "js-c"],
);
assert.deepEqual(await listed(paginateListModels(one, byName), "Models", "ModelName"), models);

// What is refused, as the SDK's exceptions.
await assert.rejects(sagemaker.send(new DescribeModelCommand({ ModelName: "absent" })), (error) => {
  assert.equal(error.name, "ValidationException");
  assert.match(error.message, /^Could not find model "arn:aws:sagemaker:/);
  assert.equal(error.$metadata.httpStatusCode, 400);
  assert(error.$metadata.requestId);
  return true;
});
await assert.rejects(ask({ TargetVariant: "Three" }), { name: "ValidationError", $fault: "client" });
await assert.rejects(ask({ EndpointName: "absent" }), { name: "ValidationError" });
await assert.rejects(ask({ Body: "raise" }), (error) => {
  assert.equal(error.name, "ModelError");
  assert.equal(error.OriginalStatusCode, 500);
  assert.match(error.OriginalMessage, /on purpose/);
  return true;
});

await sagemaker.send(new DeleteEndpointCommand({ EndpointName: "js" }));
await waitUntilEndpointDeleted(soon, { EndpointName: "js" });
for (const EndpointConfigName of ["js-a", "js-b", "js-c"]) {
  await sagemaker.send(new DeleteEndpointConfigCommand({ EndpointConfigName }));
}
for (const ModelName of models) await sagemaker.send(new DeleteModelCommand({ ModelName }));
for (const name of ["one", "two"]) {
  await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: `${name}/model.tar.gz` }));
}
await s3.send(new DeleteBucketCommand({ Bucket: bucket }));
