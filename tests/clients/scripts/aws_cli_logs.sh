# The AWS CLI: what a model printed, where SageMaker has it.

group=/aws/sagemaker/Endpoints/printing
role=$(aws iam get-role --role-name mooring --query Role.Arn --output text)
aws s3 mb s3://cli-logs
aws s3 cp printing.tar.gz s3://cli-logs/printing/model.tar.gz
image=683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3
aws sagemaker create-model --model-name printing --execution-role-arn "$role" \
    --primary-container "Image=$image,ModelDataUrl=s3://cli-logs/printing/model.tar.gz"
aws sagemaker create-endpoint-config --endpoint-config-name printing --production-variants \
    "VariantName=all,ModelName=printing,InitialInstanceCount=1,InstanceType=ml.m5.large"
aws sagemaker create-endpoint --endpoint-name printing --endpoint-config-name printing
aws sagemaker wait endpoint-in-service --endpoint-name printing
for number in 1 2 3; do
    aws sagemaker-runtime invoke-endpoint --endpoint-name printing --content-type text/csv --body $number answer.txt
done

aws logs describe-log-groups --log-group-name-prefix $group --query "logGroups[].logGroupName" --output text | grep -x $group
stream=$(aws logs describe-log-streams --log-group-name $group --log-stream-name-prefix all/i- \
    --query "logStreams[0].logStreamName" --output text)
aws logs get-log-events --log-group-name $group --log-stream-name "$stream" --start-from-head \
    --query "events[].message" --output text | grep "asked for 1.*asked for 2.*asked for 3"
aws logs filter-log-events --log-group-name $group --filter-pattern '"asked for 2"' \
    --query "events[].message" --output text | grep -x "asked for 2"

aws sagemaker delete-endpoint --endpoint-name printing
