# The task machines: one lifecycle per launch kind, read from the build folder. One role per kind, with that kind's own
# permissions. What a container task may run is added by the module `pipelines`, which knows the task definitions.

locals {
  machine_files = fileset(var.build_dir, "system/*.asl.json")
  kinds         = { for file in local.machine_files : trimsuffix(basename(file), ".asl.json") => file }

  function_names = {
    for placeholder in ["open_run", "begin_task", "expand_map", "finish_task", "close_run"] :
    placeholder => aws_lambda_function.this[replace(placeholder, "_", "-")].arn
  }

  task_definitions = {
    for kind, file in local.kinds : kind => replace(replace(replace(replace(replace(
      file("${var.build_dir}/${file}"),
      "$${open_run}", local.function_names.open_run),
      "$${begin_task}", local.function_names.begin_task),
      "$${expand_map}", local.function_names.expand_map),
      "$${finish_task}", local.function_names.finish_task),
    "$${close_run}", local.function_names.close_run)
  }

  events_rule = "arn:${local.partition}:events:${local.region}:${local.account}:rule"

  # Step Functions watches what it starts with .sync through rules that it manages itself, by these names.
  # https://docs.aws.amazon.com/step-functions/latest/dg/service-integration-iam-templates.html
  managed_rules = {
    container     = "StepFunctionsGetEventsForECSTaskRule"
    pipeline      = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
    state_machine = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
    batch         = "StepFunctionsGetEventsForBatchJobsRule"
  }

  # Executions that are started and not waited for have the same targets as those that are.
  targets = { for kind in keys(local.kinds) : kind => lookup(var.task_targets, kind == "state_machine_started" ? "state_machine" : kind, []) }

  # Statements per kind besides calling begin-task and finish-task. An empty list of resources drops the statement.
  kind_statements = {
    # A run that a task started is cancelled by whoever decides that it shall end: so it takes away what it has set up,
    # and one that the task only joined goes on. Step Functions stops it by itself where it may.
    # https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-sync
    pipeline = [
      { actions = ["states:StartExecution"], resources = [local.machines] },
      { actions = ["states:DescribeExecution"], resources = [local.executions] },
    ]
    state_machine = [
      { actions = ["states:StartExecution"], resources = try(local.targets.state_machine, []) },
      {
        actions   = ["states:DescribeExecution", "states:StopExecution"]
        resources = [for machine in try(local.targets.state_machine, []) : "${replace(machine, ":stateMachine:", ":execution:")}:*"]
      },
    ]
    state_machine_started = [{ actions = ["states:StartExecution"], resources = try(local.targets.state_machine_started, []) }]
    lambda                = [{ actions = ["lambda:InvokeFunction"], resources = try(local.targets.lambda, []) }]
    glue = [{
      actions   = ["glue:BatchStopJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:StartJobRun"]
      resources = try(local.targets.glue, [])
    }]
    emr_serverless = [
      { actions = ["emr-serverless:StartJobRun"], resources = try(local.targets.emr_serverless, []) },
      {
        actions   = ["emr-serverless:CancelJobRun", "emr-serverless:GetJobRun"]
        resources = [for application in try(local.targets.emr_serverless, []) : "${application}/jobruns/*"]
      },
    ]
    batch = [{ actions = ["batch:SubmitJob"], resources = try(local.targets.batch, []) }]
    # A query reads tables and leaves its result with the rights of who starts it.
    # https://docs.aws.amazon.com/step-functions/latest/dg/connect-athena.html
    athena = [
      {
        actions   = ["athena:GetDataCatalog", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:StartQueryExecution", "athena:StopQueryExecution"]
        resources = try(local.targets.athena, [])
      },
      {
        actions   = ["glue:BatchGetPartition", "glue:GetDatabase", "glue:GetDatabases", "glue:GetPartition", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"]
        resources = lookup(var.task_targets, "athena_catalog", [])
      },
      {
        actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
        resources = lookup(var.task_targets, "athena_buckets", [])
      },
      {
        actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        resources = [for bucket in lookup(var.task_targets, "athena_buckets", []) : "${bucket}/*"]
      },
    ]
    http = [{ actions = ["events:RetrieveConnectionCredentials"], resources = try(local.targets.http, []) }]
  }
}

resource "aws_cloudwatch_log_group" "machines" {
  # The prefix keeps the account's resource policy for log delivery from outgrowing its limit.
  # https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
  name              = "/aws/vendedlogs/states/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = one(aws_kms_key.this[*].arn)

  #checkov:skip=CKV_AWS_158: a customer-managed key is a variable (customer_key); prod has it.
  #checkov:skip=CKV_AWS_338: retention is a variable, 90 days by default; the audit trail is in the store, not in logs.
}

data "aws_iam_policy_document" "assume_states" {
  for_each = local.kinds

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }

    # https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["${local.states_arn}:stateMachine:${var.name}-task-${each.key}"]
    }
  }
}

resource "aws_iam_role" "kind" {
  for_each = local.kinds

  name               = "${var.name}-kind-${each.key}"
  description        = "The task machine of kind ${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume_states[each.key].json
}

data "aws_iam_policy_document" "kind" {
  for_each = local.kinds

  #checkov:skip=CKV_AWS_356: log delivery and the batch and http calls below have no resource-level permission; each says so.
  #checkov:skip=CKV_AWS_111: the same statements.

  statement {
    sid       = "Decide"
    actions   = ["lambda:InvokeFunction"]
    resources = [local.function_names.begin_task, local.function_names.finish_task]
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

  dynamic "statement" {
    for_each = [for statement in lookup(local.kind_statements, each.key, []) : statement if length(statement.resources) > 0]

    content {
      actions   = statement.value.actions
      resources = statement.value.resources
    }
  }

  dynamic "statement" {
    for_each = compact([lookup(local.managed_rules, each.key, "")])

    content {
      sid       = "ManagedRule"
      actions   = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
      resources = ["${local.events_rule}/${statement.value}"]
    }
  }

  # Describing and terminating Batch jobs has no resource-level permission by queue.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbatch.html
  dynamic "statement" {
    for_each = each.key == "batch" && length(local.targets[each.key]) > 0 ? [1] : []

    content {
      sid       = "BatchJobs"
      actions   = ["batch:DescribeJobs", "batch:TerminateJob"]
      resources = ["*"]
    }
  }

  # The endpoint is held by the connection, whose ARN is named above.
  # https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html
  dynamic "statement" {
    for_each = each.key == "http" && length(local.targets[each.key]) > 0 ? [1] : []

    content {
      sid       = "HttpEndpoint"
      actions   = ["states:InvokeHTTPEndpoint"]
      resources = ["${local.states_arn}:stateMachine:${var.name}-task-http"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "http" && length(local.targets[each.key]) > 0 ? [1] : []

    content {
      sid       = "ConnectionSecret"
      actions   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
      resources = ["arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:events!connection/*"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "emr_serverless" && length(var.emr_job_role_arns) > 0 ? [1] : []

    content {
      sid       = "EmrJobRoles"
      actions   = ["iam:PassRole"]
      resources = var.emr_job_role_arns

      condition {
        test     = "StringEquals"
        variable = "iam:PassedToService"
        values   = ["emr-serverless.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role_policy" "kind" {
  for_each = local.kinds

  name   = "lifecycle"
  role   = aws_iam_role.kind[each.key].id
  policy = data.aws_iam_policy_document.kind[each.key].json
}

resource "aws_sfn_state_machine" "task" {
  for_each = local.kinds

  name       = "${var.name}-task-${each.key}"
  role_arn   = aws_iam_role.kind[each.key].arn
  definition = local.task_definitions[each.key]

  # Runs are pinned to version ARNs: a deployment never changes a run in flight.
  publish = true

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.machines.arn}:*"
  }

  depends_on = [aws_iam_role_policy.kind]

  #checkov:skip=CKV_AWS_284: tracing is left to the structured logs, which carry run, task and attempt.
  #checkov:skip=CKV_AWS_285: only errors are logged, without execution data: inputs may be personal data, and the store has the history.
}
