# MLflow's own command line: a deployment that gets another model.

image=000000000000.dkr.ecr.us-west-2.amazonaws.com/mlflow-pyfunc:latest

mlflow deployments create -t sagemaker --name updated -m model -C image_url=$image -C instance_type=ml.m5.large
mlflow deployments predict -t sagemaker --name updated -I rows.json | grep '{"predictions": \[0, 2\]}'
mlflow deployments update -t sagemaker --name updated -m other -C image_url=$image -C instance_type=ml.m5.large
mlflow deployments predict -t sagemaker --name updated -I rows.json | grep '{"predictions": \[1, 1\]}'
mlflow deployments delete -t sagemaker --name updated
