# Roles for workflows, taken by OIDC: nobody holds a long-lived key. `plan` reads and is for pull requests; `deploy` writes
# what carries our prefix and is for jobs of one GitHub environment, whose protection rules are the approval.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  issuer    = "token.actions.githubusercontent.com"
  provider  = var.create_provider ? aws_iam_openid_connect_provider.github[0].arn : "arn:${local.partition}:iam::${local.account}:oidc-provider/${local.issuer}"

  # Who may take which role, as GitHub's token says it.
  # https://docs.github.com/en/actions/security-for-github-actions/security-hardening-your-deployments/about-security-hardening-with-openid-connect
  subjects = {
    plan   = ["repo:${var.repository}:pull_request", "repo:${var.repository}:environment:${var.github_environment}"]
    deploy = ["repo:${var.repository}:environment:${var.github_environment}"]
  }

  arn = {
    for service in ["cloudwatch", "dynamodb", "ecr", "ecs", "events", "kms", "lambda", "logs", "scheduler", "sns", "sqs", "states"] :
    service => "arn:${local.partition}:${service}:${local.region}:${local.account}"
  }

  # What the modules make, by prefix.
  ours = {
    alarms     = ["${local.arn.cloudwatch}:alarm:${var.name}-*"]
    dashboards = ["arn:${local.partition}:cloudwatch::${local.account}:dashboard/${var.name}"]
    tables     = ["${local.arn.dynamodb}:table/${var.name}-*"]
    images     = ["${local.arn.ecr}:repository/${var.name}/*"]
    clusters   = ["${local.arn.ecs}:cluster/${var.name}"]
    tasks      = ["${local.arn.ecs}:task-definition/${var.name}-*:*"]
    rules      = ["${local.arn.events}:rule/${var.name}-*"]
    functions  = ["${local.arn.lambda}:function:${var.name}-*"]
    logs = [
      "${local.arn.logs}:log-group:/aws/lambda/${var.name}-*",
      "${local.arn.logs}:log-group:/aws/vendedlogs/states/${var.name}*",
      "${local.arn.logs}:log-group:/cauce/${var.name}/*",
    ]
    schedules = ["${local.arn.scheduler}:schedule/${var.name}/*", "${local.arn.scheduler}:schedule-group/${var.name}"]
    topics    = ["${local.arn.sns}:${var.name}-*"]
    queues    = ["${local.arn.sqs}:${var.name}-*"]
    machines  = ["${local.arn.states}:stateMachine:${var.name}-*"]
    roles     = ["arn:${local.partition}:iam::${local.account}:role/${var.name}-*"]
    buckets = concat(
      ["arn:${local.partition}:s3:::${var.name}-documents-${local.account}"],
      [for bucket in var.lake_bucket_names : "arn:${local.partition}:s3:::${bucket}"],
    )
    budgets = ["arn:${local.partition}:budgets::${local.account}:budget/${var.name}-*"]
    mail    = ["arn:${local.partition}:ses:${local.region}:${local.account}:identity/*"]
  }

  state_arn = "arn:${local.partition}:s3:::${var.state_bucket}"
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.create_provider ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "assume" {
  for_each = local.subjects

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.provider]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = each.value
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.subjects

  name                 = "${var.name}-ci-${each.key}"
  description          = "Workflows of ${var.repository}: ${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.assume[each.key].json
  max_session_duration = 3600
}
