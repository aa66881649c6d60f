// The AWS SDK for JavaScript v3: an endpoint that explains its predictions, and calls that say which.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { GetRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import {
  CreateEndpointCommand, CreateEndpointConfigCommand, CreateModelCommand, DeleteEndpointCommand,
  DescribeEndpointCommand, SageMakerClient, waitUntilEndpointInService,
} from "@aws-sdk/client-sagemaker";
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";

const [s3, sagemaker, runtime] = [new S3Client(), new SageMakerClient(), new SageMakerRuntimeClient()];
const image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3";
const [bucket, EndpointName] = ["javascript-explanations", "js-explained"];
const role = (await new IAMClient().send(new GetRoleCommand({ RoleName: "mooring" }))).Role.Arn;

await s3.send(new CreateBucketCommand({ Bucket: bucket }));
await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "model.tar.gz", Body: readFileSync("product.tar.gz") }));
await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "zero.jsonl", Body: '{"features":[0,0,0]}\n' }));
const PrimaryContainer = { Image: image, ModelDataUrl: `s3://${bucket}/model.tar.gz` };
await sagemaker.send(new CreateModelCommand({ ModelName: EndpointName, ExecutionRoleArn: role, PrimaryContainer }));
const ExplainerConfig = {
  ClarifyExplainerConfig: {
    InferenceConfig: {
      FeaturesAttribute: "features", ContentTemplate: '{"features":$features}', ProbabilityAttribute: "score",
      FeatureHeaders: ["a", "b", "c"],
    },
    ShapConfig: {
      ShapBaselineConfig: { MimeType: "application/jsonlines", ShapBaselineUri: `s3://${bucket}/zero.jsonl` },
    },
  },
};
const ProductionVariants = [
  { VariantName: "all", ModelName: EndpointName, InitialInstanceCount: 1, InstanceType: "ml.m5.large" },
];
await sagemaker.send(
  new CreateEndpointConfigCommand({ EndpointConfigName: EndpointName, ProductionVariants, ExplainerConfig }),
);
await sagemaker.send(new CreateEndpointCommand({ EndpointName, EndpointConfigName: EndpointName }));
await waitUntilEndpointInService({ client: sagemaker, maxWaitTime: 60, minDelay: 1, maxDelay: 2 }, { EndpointName });
assert.deepEqual((await sagemaker.send(new DescribeEndpointCommand({ EndpointName }))).ExplainerConfig, ExplainerConfig);

async function ask(EnableExplanations) {
  const ContentType = "application/jsonlines";
  const Body = '{"features":[3,4,5]}\n{"features":[1,1,1]}\n';
  const call = { EndpointName, ContentType, Accept: ContentType, Body, EnableExplanations };
  return JSON.parse((await runtime.send(new InvokeEndpointCommand(call))).Body.transformToString());
}

function attributions(record) {
  return record.map((feature) => Math.round(feature.attributions[0].attribution[0] * 1e9) / 1e9);
}

const answer = await ask();
assert.deepEqual(answer.explanations.kernel_shap.map(attributions), [[6, 6, 10], [0.5, 0.5, 2]]);
assert.deepEqual(answer.explanations.kernel_shap[0].map((feature) => feature.feature_header), ["a", "b", "c"]);
const some = await ask("score>`10`");
assert.equal(some.explanations.kernel_shap[1], null);
assert.deepEqual((await ask("`false`")).explanations, {});
await assert.rejects(ask("score>"), (error) => error.name === "ValidationError", "a call whose expression is none");
await sagemaker.send(new DeleteEndpointCommand({ EndpointName }));
