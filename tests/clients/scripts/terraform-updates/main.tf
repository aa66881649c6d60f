terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {}

variable "model" {
  default = "one"
}

resource "aws_s3_bucket" "models" {
  bucket = "terraform-updates"
}

resource "aws_s3_object" "model" {
  for_each = toset(["one", "two"])
  bucket   = aws_s3_bucket.models.bucket
  key      = "${each.key}/model.tar.gz"
  source   = "${each.key}.tar.gz"
}

data "aws_iam_role" "execution" {
  name = "mooring"
}

resource "aws_sagemaker_model" "model" {
  for_each           = toset(["one", "two"])
  name               = "tf-update-${each.key}"
  execution_role_arn = data.aws_iam_role.execution.arn
  primary_container {
    image          = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    model_data_url = "s3://${aws_s3_bucket.models.bucket}/${aws_s3_object.model[each.key].key}"
  }
}

resource "aws_sagemaker_endpoint_configuration" "current" {
  name_prefix = "tf-update-"
  production_variants {
    variant_name           = "all"
    model_name             = aws_sagemaker_model.model[var.model].name
    initial_instance_count = 2
    instance_type          = "ml.m5.large"
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_sagemaker_endpoint" "updated" {
  name                 = "tf-updated"
  endpoint_config_name = aws_sagemaker_endpoint_configuration.current.name
  deployment_config {
    blue_green_update_policy {
      traffic_routing_configuration {
        type                     = "LINEAR"
        wait_interval_in_seconds = 1
        linear_step_size {
          type  = "CAPACITY_PERCENT"
          value = 50
        }
      }
      termination_wait_in_seconds          = 1
      maximum_execution_timeout_in_seconds = 600
    }
  }
}
