# Roles: one for the machines of the system, one with which ECS starts its tasks, and one per pipeline for its tasks' code.
#
# Machines, task definitions and task roles are named here by the deployment's prefix: a hundred ARNs would outgrow what a
# role takes (10,240 characters of policies, 2,048 of trust).
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html

data "aws_iam_policy_document" "assume_states" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["${local.states_arn}:stateMachine:${local.name}-*"]
    }
  }
}

resource "aws_iam_role" "machines" {
  name               = "${local.name}-${var.system}-pipelines"
  description        = "State machines of the pipelines of ${var.system}"
  assume_role_policy = data.aws_iam_policy_document.assume_states.json

  lifecycle {
    precondition {
      condition     = module.fill.problem == null
      error_message = "a pipeline: ${coalesce(module.fill.problem, "all is filled")}"
    }

    # Naming a role in a pipeline must not be enough to have it.
    precondition {
      condition     = length(local.strange_roles) == 0
      error_message = "${join(", ", local.strange_roles)}: `task_roles` does not list this role. List it, and tasks may have it and it is granted the task contract; with `grant = false` whoever owns it gives it the output `task_contract_policy`."
    }
  }
}

data "aws_iam_policy_document" "machines" {
  #checkov:skip=CKV_AWS_356: only log delivery, which has no resource-level permission.
  #checkov:skip=CKV_AWS_111: the same statement.

  statement {
    sid       = "Decide"
    actions   = ["lambda:InvokeFunction"]
    resources = values(local.functions)
  }

  # Task machines on the version that a run is pinned to, parts, and items of a Distributed Map.
  statement {
    sid       = "Start"
    actions   = ["states:StartExecution"]
    resources = ["${local.states_arn}:stateMachine:${local.name}-*"]
  }

  statement {
    sid       = "Watch"
    actions   = ["states:DescribeExecution", "states:StopExecution"]
    resources = ["${local.states_arn}:execution:${local.name}-*:*"]
  }

  # https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html
  statement {
    sid       = "ManagedRule"
    actions   = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
    resources = ["arn:${local.partition}:events:${local.region}:${local.account}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"]
  }

  # Log delivery of vended logs has no resource-level permission.
  # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
  statement {
    sid = "LogDelivery"
    actions = [
      "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
      "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "machines" {
  name   = "pipelines"
  role   = aws_iam_role.machines.id
  policy = data.aws_iam_policy_document.machines.json
}

data "aws_iam_policy_document" "assume_ecs" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:ecs:${local.region}:${local.account}:*"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${local.name}-${var.system}-execution"
  description        = "ECS, to start tasks of ${var.system}: pull images, fetch secrets, write logs"
  assume_role_policy = data.aws_iam_policy_document.assume_ecs.json
}

data "aws_iam_policy_document" "execution" {
  #checkov:skip=CKV_AWS_356: only ecr:GetAuthorizationToken, which has no resource-level permission.

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/cauce/${local.name}/*:*"]
  }

  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
  statement {
    sid       = "Registry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = length(aws_ecr_repository.this) > 0 ? [1] : []

    content {
      sid       = "Images"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = [for repository in aws_ecr_repository.this : repository.arn]
    }
  }

  dynamic "statement" {
    for_each = length(local.secret_names) > 0 ? [1] : []

    content {
      sid       = "Secrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [for secret in data.aws_secretsmanager_secret.this : secret.arn]
    }
  }

  dynamic "statement" {
    for_each = var.control_plane.key_arn == null ? [] : [var.control_plane.key_arn]

    content {
      sid       = "Key"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [for service in ["ecr", "secretsmanager"] : "${service}.${local.region}.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

locals {
  # Roles that tasks name and nobody allowed, with the pipelines that do.
  strange_roles = sort(distinct([
    for family in local.families : "${family.pipeline} has tasks with the role ${family.role}"
    if try(family.role, null) != null && !contains([for role in var.task_roles : role.arn], try(family.role, ""))
  ]))

  # Pipelines that have containers.
  contained = { for pipeline in distinct([for family in local.families : family.pipeline]) : pipeline => local.manifests[pipeline] }

  task_role_names = {
    for pipeline in keys(local.contained) : pipeline => (
      length("${local.name}-${pipeline}-task") <= local.name_max
      ? "${local.name}-${pipeline}-task"
      : "${substr("${local.name}-${pipeline}", 0, local.name_max - 14)}-${substr(sha256(pipeline), 0, 8)}-task"
    )
  }
}

resource "aws_iam_role" "task" {
  for_each = local.contained

  name               = local.task_role_names[each.key]
  description        = "The code of the tasks of ${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume_ecs.json
  tags               = { "cauce:pipeline" = each.key, "cauce:system" = var.system }
}

# The task contract: read the input document and earlier outputs, write one's own output, ask for tokens of rate limits.
data "aws_iam_policy_document" "contract" {
  statement {
    sid     = "Contract"
    actions = ["s3:GetObject"]
    resources = [
      "${var.control_plane.documents.arn}/inputs/*",
      "${var.control_plane.documents.arn}/outputs/*",
    ]
  }

  statement {
    sid       = "Output"
    actions   = ["s3:PutObject"]
    resources = ["${var.control_plane.documents.arn}/outputs/*"]
  }

  statement {
    sid       = "Limits"
    actions   = ["lambda:InvokeFunction"]
    resources = [var.control_plane.function_arns["take-tokens"]]
  }

  dynamic "statement" {
    for_each = var.control_plane.key_arn == null ? [] : [var.control_plane.key_arn]

    content {
      sid       = "DocumentsKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${local.region}.amazonaws.com"]
      }
    }
  }
}

data "aws_iam_policy_document" "task" {
  for_each = local.contained

  source_policy_documents = compact([data.aws_iam_policy_document.contract.json, lookup(var.task_policies, each.key, "")])

  dynamic "statement" {
    for_each = length(var.buckets) > 0 ? [1] : []

    content {
      sid       = "Read"
      actions   = ["s3:GetObject"]
      resources = [for bucket in values(var.buckets) : "${bucket.arn}/*"]
    }
  }

  dynamic "statement" {
    for_each = length(var.buckets) > 0 ? [1] : []

    content {
      sid       = "List"
      actions   = ["s3:ListBucket"]
      resources = [for bucket in values(var.buckets) : bucket.arn]
    }
  }

  dynamic "statement" {
    for_each = anytrue([for bucket in values(var.buckets) : bucket.write]) ? [1] : []

    content {
      sid       = "Write"
      actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"]
      resources = [for bucket in values(var.buckets) : "${bucket.arn}/*" if bucket.write]
    }
  }

  dynamic "statement" {
    for_each = length(var.data_key_arns) > 0 ? [1] : []

    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = var.data_key_arns

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${local.region}.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role_policy" "task" {
  for_each = local.contained

  name   = "task"
  role   = aws_iam_role.task[each.key].id
  policy = data.aws_iam_policy_document.task[each.key].json
}

# Roles that tasks name themselves get the contract and nothing else: the rest is their owner's.
resource "aws_iam_role_policy" "contract" {
  for_each = { for role in var.task_roles : role.arn => role if role.grant }

  name   = "${local.name}-${var.system}-contract"
  role   = regex("[^/]+$", each.key)
  policy = data.aws_iam_policy_document.contract.json
}

# What the container lifecycle may run: our task definitions, on our cluster, with task roles and no others. Map
# items of a Distributed Map run it inside the pipeline's own machine, so the machines' role has it too.
data "aws_iam_policy_document" "run_tasks" {
  count = length(local.contained) > 0 ? 1 : 0

  statement {
    sid       = "Run"
    actions   = ["ecs:RunTask"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${local.name}-*:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [var.control_plane.cluster_arn]
    }
  }

  statement {
    sid       = "Watch"
    actions   = ["ecs:DescribeTasks", "ecs:StopTask"]
    resources = ["${replace(var.control_plane.cluster_arn, ":cluster/", ":task/")}/*"]
  }

  # Tags of a task are given as it starts.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
  statement {
    sid       = "Tag"
    actions   = ["ecs:TagResource"]
    resources = ["${replace(var.control_plane.cluster_arn, ":cluster/", ":task/")}/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid     = "Roles"
    actions = ["iam:PassRole"]
    resources = concat(
      [aws_iam_role.execution.arn, "arn:${local.partition}:iam::${local.account}:role/${local.name}-*-task"],
      [for role in var.task_roles : role.arn],
    )

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  statement {
    sid       = "ManagedRule"
    actions   = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
    resources = ["arn:${local.partition}:events:${local.region}:${local.account}:rule/StepFunctionsGetEventsForECSTaskRule"]
  }
}

locals {
  # Looked for in the text before names are filled in: those are known only once the functions are there.
  runs_inside = anytrue([for machine in values(local.machines) : strcontains(local.filled[machine.file], ":ecs:runTask")])

  runners = {
    for runner, role in {
      lifecycle = lookup(var.control_plane.kind_roles, "container", null)
      pipelines = local.runs_inside ? aws_iam_role.machines.name : null
    } : runner => role if role != null && length(local.contained) > 0
  }
}

resource "aws_iam_role_policy" "run_tasks" {
  for_each = local.runners

  name   = "run-tasks-${var.system}"
  role   = each.value
  policy = data.aws_iam_policy_document.run_tasks[0].json
}
