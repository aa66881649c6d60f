terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {}

resource "aws_s3_bucket" "models" {
  bucket = "with-terraform"
  tags   = { team = "churn" }
}

resource "aws_s3_object" "model" {
  bucket = aws_s3_bucket.models.bucket
  key    = "iris/model.tar.gz"
  source = "model.tar.gz"
  tags   = { team = "churn" }
}

resource "aws_iam_role" "execution" {
  name = "with-terraform"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "sagemaker.amazonaws.com" } }]
  })
}

resource "aws_sagemaker_model" "iris" {
  name               = "tf-iris"
  execution_role_arn = aws_iam_role.execution.arn
  primary_container {
    image          = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    model_data_url = "s3://${aws_s3_object.model.bucket}/${aws_s3_object.model.key}"
    environment    = { SAGEMAKER_PROGRAM = "inference.py", LEVEL = "20" }
  }
  enable_network_isolation = false
  tags                     = { team = "churn" }
}

resource "aws_sagemaker_endpoint_configuration" "iris" {
  name = "tf-iris"
  production_variants {
    variant_name                                      = "one"
    model_name                                        = aws_sagemaker_model.iris.name
    initial_instance_count                            = 1
    instance_type                                     = "ml.m5.large"
    initial_variant_weight                            = 3
    volume_size_in_gb                                 = 8
    container_startup_health_check_timeout_in_seconds = 120
    model_data_download_timeout_in_seconds            = 90
    enable_ssm_access                                 = false
    routing_config { routing_strategy = "LEAST_OUTSTANDING_REQUESTS" }
  }
  production_variants {
    variant_name           = "two"
    model_name             = aws_sagemaker_model.iris.name
    initial_instance_count = 1
    instance_type          = "ml.m5.large"
  }
  data_capture_config {
    enable_capture              = true
    initial_sampling_percentage = 50
    destination_s3_uri          = "s3://with-terraform/captured"
    capture_options { capture_mode = "Input" }
    capture_options { capture_mode = "Output" }
    capture_content_type_header { json_content_types = ["application/json"] }
  }
  tags = { team = "churn" }
}

resource "aws_sagemaker_endpoint_configuration" "serverless" {
  name_prefix = "tf-serverless-"
  production_variants {
    model_name = aws_sagemaker_model.iris.name
    serverless_config {
      max_concurrency         = 5
      memory_size_in_mb       = 2048
      provisioned_concurrency = 1
    }
  }
}

resource "aws_sagemaker_endpoint_configuration" "asynchronous" {
  name = "tf-async"
  production_variants {
    variant_name           = "one"
    model_name             = aws_sagemaker_model.iris.name
    initial_instance_count = 1
    instance_type          = "ml.m5.large"
  }
  async_inference_config {
    client_config { max_concurrent_invocations_per_instance = 2 }
    output_config {
      s3_output_path  = "s3://with-terraform/answers"
      s3_failure_path = "s3://with-terraform/failures"
    }
  }
}

resource "aws_sagemaker_endpoint_configuration" "shadowed" {
  name = "tf-shadowed"
  production_variants {
    variant_name           = "one"
    model_name             = aws_sagemaker_model.iris.name
    initial_instance_count = 1
    instance_type          = "ml.m5.large"
    initial_variant_weight = 1
  }
  shadow_production_variants {
    variant_name           = "shadow"
    model_name             = aws_sagemaker_model.iris.name
    initial_instance_count = 1
    instance_type          = "ml.m5.large"
    initial_variant_weight = 0.5
  }
}

resource "aws_sagemaker_endpoint" "iris" {
  name                 = "tf-iris"
  endpoint_config_name = aws_sagemaker_endpoint_configuration.iris.name
  tags                 = { team = "churn" }
}
