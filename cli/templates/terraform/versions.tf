terraform {
  required_version = "~> 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Bucket, key and region are given at init; the lock is an object beside the state.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      "cauce:deployment"  = "${var.project}-${var.environment}"
      "cauce:environment" = var.environment
      "cauce:project"     = var.project
    }
  }
}
