terraform {
  required_version = "~> 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Where the state is, is said at init: -backend-config=bucket=... -backend-config=key=... -backend-config=region=...
  # (docs/runbooks/deploy.md). The lock is an object beside it.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account == null ? null : [var.account]

  # Cost allocation: activate these keys in the billing console once. Pipelines add cauce:pipeline.
  default_tags {
    tags = {
      "cauce:deployment"  = local.name
      "cauce:environment" = "prod"
      "cauce:project"     = var.project
    }
  }
}
