# What repairs: status events of our executions and tasks to record-event, and the sweep.

locals {
  status_rules = {
    # A task execution that ended well told everything itself; one that died did not.
    ended-badly = {
      description = "Executions of ${var.name} that failed, timed out or were aborted"
      pattern = {
        source      = ["aws.states"]
        detail-type = ["Step Functions Execution Status Change"]
        detail = {
          status          = ["FAILED", "TIMED_OUT", "ABORTED"]
          stateMachineArn = [{ prefix = "${local.states_arn}:stateMachine:${var.name}-" }]
        }
      }
    }
    # Pipelines' executions only: two matchers on one field would be alternatives, so the prefix is matched on the
    # execution and the task machines are left out by the machine.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    ended-well = {
      description = "Executions of the pipelines of ${var.name} that succeeded"
      pattern = {
        source      = ["aws.states"]
        detail-type = ["Step Functions Execution Status Change"]
        detail = {
          status          = ["SUCCEEDED"]
          executionArn    = [{ prefix = "${local.states_arn}:execution:${var.name}-" }]
          stateMachineArn = [{ anything-but = { prefix = "${local.states_arn}:stateMachine:${var.name}-task-" } }]
        }
      }
    }
    stopped-tasks = {
      description = "ECS tasks of ${var.name} that stopped"
      pattern = {
        source      = ["aws.ecs"]
        detail-type = ["ECS Task State Change"]
        detail = {
          clusterArn = [aws_ecs_cluster.this.arn]
          lastStatus = ["STOPPED"]
        }
      }
    }
  }
}

resource "aws_cloudwatch_event_rule" "status" {
  for_each = local.status_rules

  name          = "${var.name}-${each.key}"
  description   = each.value.description
  event_pattern = jsonencode(each.value.pattern)
}

resource "aws_cloudwatch_event_target" "status" {
  for_each = local.status_rules

  rule = aws_cloudwatch_event_rule.status[each.key].name
  arn  = aws_sqs_queue.this["events"].arn

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.dead_letters]
}

data "aws_iam_policy_document" "assume_scheduler" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    # A schedule's role is held by the group: a condition on the schedule itself is refused when it is made.
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:scheduler:${local.region}:${local.account}:schedule-group/${var.name}"]
    }
  }
}

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  description        = "Schedules of ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.assume_scheduler.json
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.this["trigger-run"].arn, aws_lambda_function.this["sweep"].arn]
  }

  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  dynamic "statement" {
    for_each = aws_kms_key.this

    content {
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value.arn]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["sqs.${local.region}.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "scheduler"
  role   = aws_iam_role.scheduler.id
  policy = data.aws_iam_policy_document.scheduler.json
}

resource "aws_scheduler_schedule_group" "this" {
  name = var.name
}

resource "aws_scheduler_schedule" "sweep" {
  name                = "sweep"
  group_name          = aws_scheduler_schedule_group.this.name
  description         = "Repairs what a dead execution, a lost event or an expired lease left"
  schedule_expression = "rate(5 minutes)"
  state               = var.sweep_enabled ? "ENABLED" : "DISABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["sweep"].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ source = "cauce.sweep" })

    # The next sweep does what this one could not.
    retry_policy {
      maximum_event_age_in_seconds = 300
      maximum_retry_attempts       = 2
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters.arn
    }
  }

  depends_on = [aws_iam_role_policy.scheduler]

  #checkov:skip=CKV_AWS_297: the schedule's input names a pipeline and a time; AWS encrypts it with its own key.
}

# The sweep on a signal: an alarm that says that something was lost or refused begins one at once, without waiting for
# the timer. That it began twice, or that there was nothing to repair, harms nothing.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
resource "aws_cloudwatch_event_rule" "alarms" {
  name        = "${var.name}-alarms"
  description = "Alarms of ${var.name} that say that something was lost or refused"
  event_pattern = jsonencode({
    source      = ["aws.cloudwatch"]
    detail-type = ["CloudWatch Alarm State Change"]
    detail = {
      alarmName = concat(
        [for alarm in ["dead-letters", "finish-lost", "store-throttled"] : "${var.name}-${alarm}"],
        [for alarm in ["record-event-", "throttled-"] : { prefix = "${var.name}-${alarm}" }],
      )
      state = { value = ["ALARM"] }
    }
  })
}

resource "aws_cloudwatch_event_target" "alarms" {
  rule  = aws_cloudwatch_event_rule.alarms.name
  arn   = aws_lambda_function.this["sweep"].arn
  input = jsonencode({ source = "cauce.sweep" })

  # The next sweep does what this one could not.
  retry_policy {
    maximum_event_age_in_seconds = 300
    maximum_retry_attempts       = 2
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  depends_on = [aws_lambda_permission.alarms, aws_sqs_queue_policy.dead_letters]
}

resource "aws_lambda_permission" "alarms" {
  statement_id   = "alarms"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this["sweep"].function_name
  principal      = "events.amazonaws.com"
  source_account = local.account
  source_arn     = aws_cloudwatch_event_rule.alarms.arn
}
