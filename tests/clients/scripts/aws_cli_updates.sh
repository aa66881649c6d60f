# The AWS CLI: an endpoint that gets another config, with a deployment config in shorthand.

image=683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3
role=$(aws iam get-role --role-name mooring --query Role.Arn --output text)
aws s3 mb s3://cli-updates
for name in one two; do
    aws s3 cp $name.tar.gz s3://cli-updates/$name/model.tar.gz
    aws sagemaker create-model --model-name update-$name --execution-role-arn "$role" \
        --primary-container "Image=$image,ModelDataUrl=s3://cli-updates/$name/model.tar.gz"
    aws sagemaker create-endpoint-config --endpoint-config-name update-$name --production-variants \
        "VariantName=all,ModelName=update-$name,InitialInstanceCount=1,InstanceType=ml.m5.large"
done
invoke() {
    aws sagemaker-runtime invoke-endpoint --endpoint-name updated --content-type text/csv --body 1 answer.txt
    grep -x "$1" answer.txt
}
aws sagemaker create-endpoint --endpoint-name updated --endpoint-config-name update-one
aws sagemaker wait endpoint-in-service --endpoint-name updated
invoke one
traffic="TrafficRoutingConfiguration={Type=ALL_AT_ONCE,WaitIntervalInSeconds=0}"
aws sagemaker update-endpoint --endpoint-name updated --endpoint-config-name update-two \
    --retain-all-variant-properties --exclude-retained-variant-properties VariantPropertyType=DesiredWeight \
    --deployment-config "BlueGreenUpdatePolicy={$traffic,TerminationWaitInSeconds=0}"
aws sagemaker wait endpoint-in-service --endpoint-name updated
invoke two
test "$(aws sagemaker describe-endpoint --endpoint-name updated --query EndpointConfigName --output text)" = update-two
aws sagemaker delete-endpoint --endpoint-name updated
