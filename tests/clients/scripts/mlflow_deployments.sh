# MLflow's own command line: a deployment of a model, asked and deleted. Without a region MLflow means us-west-2.

image=000000000000.dkr.ecr.us-west-2.amazonaws.com/mlflow-pyfunc:latest

mlflow deployments create -t sagemaker --name flow -m model -C image_url=$image -C instance_type=ml.m5.large
mlflow deployments list -t sagemaker | grep "'EndpointName': 'flow'"
mlflow deployments get -t sagemaker --name flow | grep "EndpointStatus: InService"
mlflow deployments predict -t sagemaker --name flow -I rows.json | grep '{"predictions": \[0, 2\]}'
mlflow deployments delete -t sagemaker --name flow
mlflow deployments list -t sagemaker | grep '^\[\]$'
