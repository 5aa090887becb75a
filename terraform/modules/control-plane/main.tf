# The control plane: what every pipeline of an environment shares. Store, documents, functions, queues, cluster, the task
# machines, and the rules that bring events to them. Pipelines are in the module `pipelines`.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  # ARNs by name: a function's role must be written before the machines that the function starts.
  states_arn = "arn:${local.partition}:states:${local.region}:${local.account}"
  machines   = "${local.states_arn}:stateMachine:${var.name}-*"
  executions = "${local.states_arn}:execution:${var.name}-*:*"

  documents_bucket = "${var.name}-documents-${local.account}"
  documents_uri    = "s3://${local.documents_bucket}"
}

module "fill" {
  source = "../fill"

  build_dir   = var.build_dir
  environment = var.environment
  values      = var.values
  texts       = { channels = jsonencode(var.channels) }
}

# What notify knows of the project's channels. Secrets are references here, never values.
resource "aws_s3_object" "channels" {
  bucket       = aws_s3_bucket.documents.id
  key          = "channels.json"
  content      = module.fill.texts["channels"]
  content_type = "application/json"

  lifecycle {
    precondition {
      condition     = module.fill.problem == null
      error_message = "a channel: ${coalesce(module.fill.problem, "all is filled")}"
    }
  }
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }

  #checkov:skip=CKV_AWS_65: Container Insights is priced per metric; it is a variable (container_insights), off by default.
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}
