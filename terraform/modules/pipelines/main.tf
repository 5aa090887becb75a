# Pipelines of one system: their machines, published with versions; their schedules and file rules; and the deployment,
# handed to record-event, which makes the new version the one that new runs take.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account    = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name
  states_arn = "arn:${local.partition}:states:${local.region}:${local.account}"

  # UpdateStateMachine refills at 1 a second: more machines than this make an apply slow, then throttled.
  # https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
  machines_max = 100

  # Longest definition that Step Functions takes.
  # https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
  definition_max = 1048576

  # Longest name of a schedule and of an IAM role.
  # https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
  # https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
  name_max = 64
}

resource "aws_sfn_state_machine" "this" {
  for_each = local.machines

  name       = "${local.name}-${each.key}"
  role_arn   = aws_iam_role.machines.arn
  definition = local.definitions[each.key]
  publish    = true

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = false
    log_destination        = "${var.control_plane.machine_log_group_arn}:*"
  }

  tags = merge(
    { for key, value in try(tomap(local.manifests[each.value.pipeline].tags), {}) : "cauce:tag:${key}" => tostring(value) },
    { "cauce:pipeline" = each.value.pipeline, "cauce:system" = var.system },
    { for owner in [try(local.manifests[each.value.pipeline].owner, null)] : "cauce:owner" => owner if owner != null },
  )

  lifecycle {
    precondition {
      condition     = length(local.machines) <= local.machines_max
      error_message = "${length(local.machines)} machines in one system; at most ${local.machines_max} are deployed from one state. Split the build folder into systems."
    }

    precondition {
      condition     = length(local.definitions[each.key]) < local.definition_max
      error_message = "the definition of ${each.key} has ${length(local.definitions[each.key])} characters; Step Functions takes ${local.definition_max}. `cauce build` splits pipelines below that; was it edited?"
    }

    precondition {
      condition     = !can(regex("\\$\\{[a-z_.]+\\}", local.definitions[each.key]))
      error_message = "the definition of ${each.key} has a name left that nobody fills: ${join(", ", distinct(regexall("\\$\\{[a-z_.]+\\}", local.definitions[each.key])))}."
    }

    precondition {
      condition     = length("${local.name}-${each.key}") <= 80
      error_message = "${local.name}-${each.key} is longer than the 80 characters that a state machine's name takes."
    }
  }

  depends_on = [aws_iam_role_policy.machines]

  #checkov:skip=CKV_AWS_284: tracing is left to the structured logs, which carry run, task and attempt.
  #checkov:skip=CKV_AWS_285: only errors are logged, without execution data: inputs may be personal data, and the store has the history.
}

# Where record-event finds the plan; it copies it to its own place under the version.
resource "aws_s3_object" "plan" {
  for_each = local.manifests

  bucket       = var.control_plane.documents.bucket
  key          = "staging/${each.key}/${each.value.version}.json"
  source       = "${var.build_dir}/${each.value.folder}/plan.json"
  source_hash  = filemd5("${var.build_dir}/${each.value.folder}/plan.json")
  content_type = "application/json"
}

# The sizes of the project's pools, which its pipelines share. A smaller one lets nobody in until it fits.
resource "aws_lambda_invocation" "pools" {
  count = length(local.pools) > 0 ? 1 : 0

  function_name   = var.control_plane.function_arns["record-event"]
  lifecycle_scope = "CRUD"

  input = jsonencode({
    source = "cauce.pools"
    detail = { pools = local.pools }
  })
}

# The figures of the project's breakers and rate limits. What these have counted stays.
resource "aws_lambda_invocation" "controls" {
  count = length(local.controls.breakers) + length(local.controls.rate_limits) > 0 ? 1 : 0

  function_name   = var.control_plane.function_arns["record-event"]
  lifecycle_scope = "CRUD"

  input = jsonencode({
    source = "cauce.controls"
    detail = local.controls
  })
}

# Makes the version the pipeline's own, in one transaction; with action "delete" it takes the pipeline out. An error fails
# the apply, and runs go on with the version before.
resource "aws_lambda_invocation" "deployment" {
  for_each = local.manifests

  function_name   = var.control_plane.function_arns["record-event"]
  lifecycle_scope = "CRUD"

  input = jsonencode({
    source = "cauce.deployment"
    detail = merge(local.release, {
      plan = "s3://${var.control_plane.documents.bucket}/${aws_s3_object.plan[each.key].key}"
      deployment = {
        schema      = 1
        environment = local.environment
        pipeline    = each.key
        version     = each.value.version
        machine     = one([for name, machine in local.machines : aws_sfn_state_machine.this[name].state_machine_version_arn if machine.pipeline == each.key && machine.part == null])
        machines = merge(
          { for kind in each.value.kinds : kind => var.control_plane.task_machines[kind] },
          { for name, machine in local.machines : machine.part => aws_sfn_state_machine.this[name].state_machine_version_arn if machine.pipeline == each.key && machine.part != null },
        )
        cluster = var.control_plane.cluster_arn
        run_task = {
          PlatformVersion      = var.platform_version
          EnableECSManagedTags = true
          PropagateTags        = "TASK_DEFINITION"
          NetworkConfiguration = {
            AwsvpcConfiguration = {
              Subnets        = var.network.subnet_ids
              SecurityGroups = var.network.security_group_ids
              AssignPublicIp = var.network.assign_public_ip ? "ENABLED" : "DISABLED"
            }
          }
        }
        task_definitions = {
          for key, family in local.families : family.family => aws_ecs_task_definition.this[key].arn if family.pipeline == each.key
        }
        values = module.fill.values
      }
    })
  })

  lifecycle {
    precondition {
      condition     = length(setsubtract(each.value.kinds, keys(var.control_plane.task_machines))) == 0
      error_message = "${each.key} needs task machines that the control plane has not: ${join(", ", setsubtract(each.value.kinds, keys(var.control_plane.task_machines)))}. Apply the control plane from a build folder whose system/ has them."
    }
  }

  depends_on = [
    aws_iam_role_policy.contract,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.run_tasks,
    aws_iam_role_policy.task,
  ]
}

resource "aws_scheduler_schedule" "this" {
  for_each = local.schedules

  name = (
    length(replace(each.key, "/", "-")) <= local.name_max
    ? replace(each.key, "/", "-")
    : "${substr(replace(each.key, "/", "-"), 0, local.name_max - 9)}-${substr(sha256(each.key), 0, 8)}"
  )
  group_name                   = var.control_plane.scheduler.group
  description                  = "Runs of ${each.value.pipeline}${try(" for items of case ${each.value.case}", "")}"
  schedule_expression          = each.value.expression
  schedule_expression_timezone = try(each.value.timezone, "UTC")
  start_date                   = try(each.value.start, null)
  end_date                     = try(each.value.end, null)

  flexible_time_window {
    mode                      = try(each.value.jitter_minutes, null) == null ? "OFF" : "FLEXIBLE"
    maximum_window_in_minutes = try(each.value.jitter_minutes, null)
  }

  target {
    arn      = var.control_plane.function_arns["trigger-run"]
    role_arn = var.control_plane.scheduler.role_arn

    # jsonencode writes < and > as escapes, in which Scheduler would not see its own keyword.
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    input = replace(replace(jsonencode({
      source = "cauce.schedule"
      detail = {
        pipeline     = each.value.pipeline
        schedule     = each.value.name
        scheduled_at = "<aws.scheduler.scheduled-time>"
      }
    }), "\\u003c", "<"), "\\u003e", ">")

    # A tick is worth trying for a day; then it is a dead letter, and catchup decides.
    retry_policy {
      maximum_event_age_in_seconds = 86400
      maximum_retry_attempts       = 185
    }

    dead_letter_config {
      arn = var.control_plane.queues["dead-letters"].arn
    }
  }

  # A tick of a pipeline that trigger-run does not know yet would be refused.
  depends_on = [aws_lambda_invocation.deployment]

  #checkov:skip=CKV_AWS_297: the schedule's input names a pipeline and a time; AWS encrypts it with its own key.
}

resource "aws_cloudwatch_event_rule" "files" {
  for_each = local.prefixes

  name        = "${local.name}-files-${substr(sha256("${var.system}/${each.key}"), 0, 16)}"
  description = "Files under s3://${each.key} that start pipelines of ${var.system}"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = merge(
      { bucket = { name = [each.value.bucket] } },
      each.value.prefix == "" ? {} : { object = { key = [{ prefix = each.value.prefix }] } },
    )
  })
}

resource "aws_cloudwatch_event_target" "files" {
  for_each = local.prefixes

  rule = aws_cloudwatch_event_rule.files[each.key].name
  arn  = var.control_plane.queues["triggers"].arn

  dead_letter_config {
    arn = var.control_plane.queues["dead-letters"].arn
  }

  depends_on = [aws_lambda_invocation.deployment]
}

# A run that failed and nobody mended. docs/runbooks/failed-run.md.
resource "aws_cloudwatch_metric_alarm" "failed" {
  for_each = { for pipeline, manifest in local.manifests : pipeline => manifest if length(var.alarm_topic_arns) > 0 }

  alarm_name          = "${local.name}-${each.key}-failed"
  alarm_description   = "A run of ${each.key} failed. See docs/runbooks/failed-run.md."
  namespace           = "AWS/States"
  metric_name         = "ExecutionsFailed"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns

  dimensions = {
    StateMachineArn = one([for name, machine in local.machines : aws_sfn_state_machine.this[name].arn if machine.pipeline == each.key && machine.part == null])
  }

  tags = { "cauce:pipeline" = each.key, "cauce:system" = var.system }
}
