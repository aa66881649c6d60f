terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  default_tags { tags = { owner = "me" } }
}

data "aws_caller_identity" "me" {}

data "aws_region" "here" {}

data "aws_sagemaker_prebuilt_ecr_image" "sklearn" {
  repository_name = "sagemaker-scikit-learn"
  image_tag       = "1.2-1-cpu-py3"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["sagemaker.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "tf-around"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy_attachment" "full" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
}

resource "aws_iam_role_policy" "inline" {
  role   = aws_iam_role.execution.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "*" }] })
}

resource "aws_s3_bucket" "b" {
  bucket        = "tf-around-${data.aws_caller_identity.me.account_id}-${data.aws_region.here.name}"
  force_destroy = true
}

resource "aws_s3_object" "o" {
  bucket = aws_s3_bucket.b.id
  key    = "model.tar.gz"
  source = "model.tar.gz"
  etag   = filemd5("model.tar.gz")
}

resource "aws_sagemaker_model" "m" {
  execution_role_arn = aws_iam_role.execution.arn
  container {
    image = data.aws_sagemaker_prebuilt_ecr_image.sklearn.registry_path
    model_data_source {
      s3_data_source {
        s3_uri           = "s3://${aws_s3_bucket.b.id}/${aws_s3_object.o.key}"
        s3_data_type     = "S3Object"
        compression_type = "Gzip"
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "a" {
  alarm_name          = "tf-around"
  comparison_operator = "GreaterThanThreshold"
  evaluation_periods  = 1
  metric_name         = "Invocation5XXErrors"
  namespace           = "AWS/SageMaker"
  period              = 60
  statistic           = "Sum"
  threshold           = 1
}

resource "aws_sns_topic" "t" { name = "tf-around" }
