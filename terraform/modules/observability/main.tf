# Alarms of the control plane, each with a runbook, and a dashboard. Alarms of single pipelines are in the module
# pipelines. Dimensions stop at the pipeline: metrics per task would cost more than everything else here.

data "aws_region" "current" {}

locals {
  runbooks = "docs/runbooks"

  function_alarms = merge([
    for function in var.functions : {
      "${function}-errors"    = { function = function, metric = "Errors", threshold = 5, says = "failed five times in five minutes", runbook = "function-errors.md" }
      "${function}-throttles" = { function = function, metric = "Throttles", threshold = 1, says = "was throttled", runbook = "throttles.md" }
    }
  ]...)

  # Names of functions that tell why they failed by an error: skips, waits and failures of tasks are errors to Lambda.
  # Their Errors metric says nothing; what they could not do shows as FinishLost, dead letters or a failed run.
  answering_by_error = toset(["begin-task", "finish-task", "open-run", "close-run", "expand-map", "take-tokens"])

  alarmed_functions = { for name, alarm in local.function_alarms : name => alarm if alarm.metric != "Errors" || !contains(local.answering_by_error, alarm.function) }

  states_throttles = ["StartExecution", "StopExecution", "DescribeExecution", "SendTaskSuccess", "SendTaskFailure"]
}

# A task whose end could not be told for two hours. The state's name is logged also without execution data.
resource "aws_cloudwatch_log_metric_filter" "finish_lost" {
  name           = "${var.name}-finish-lost"
  log_group_name = var.machine_log_group_name
  pattern        = "{ ($.details.name = \"FinishLost\") || ($.details.error = \"Cauce.FinishLost\") }"

  metric_transformation {
    namespace     = "Cauce/${var.name}"
    name          = "FinishLost"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "finish_lost" {
  alarm_name          = "${var.name}-finish-lost"
  alarm_description   = "The end of a task could not be told for two hours. See ${local.runbooks}/finish-lost.md."
  namespace           = aws_cloudwatch_log_metric_filter.finish_lost.metric_transformation[0].namespace
  metric_name         = aws_cloudwatch_log_metric_filter.finish_lost.metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "An event, a tick or a notice could not be handled. See ${local.runbooks}/dead-letters.md."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  dimensions          = { QueueName = var.queues["dead-letters"].name }
}

resource "aws_cloudwatch_metric_alarm" "notices_late" {
  alarm_name          = "${var.name}-notices-late"
  alarm_description   = "Notices wait to be delivered. See ${local.runbooks}/notices-late.md."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = var.notice_age_seconds
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  dimensions          = { QueueName = var.queues["notices"].name }
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each = local.alarmed_functions

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.function} ${each.value.says}. See ${local.runbooks}/${each.value.runbook}."
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  dimensions          = { FunctionName = "${var.name}-${each.value.function}" }
}

# The sweep is the last net: without it nothing repairs what an event lost.
resource "aws_cloudwatch_metric_alarm" "sweep_silent" {
  alarm_name          = "${var.name}-sweep-silent"
  alarm_description   = "The sweep has not run for 15 minutes. See ${local.runbooks}/sweep-silent.md."
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  statistic           = "Sum"
  period              = 900
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  dimensions          = { FunctionName = "${var.name}-sweep" }
}

# Per API of Step Functions, for the whole account and region: the rates are shared.
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
resource "aws_cloudwatch_metric_alarm" "states_throttled" {
  for_each = toset(local.states_throttles)

  alarm_name          = "${var.name}-throttled-${each.key}"
  alarm_description   = "Step Functions refuses ${each.key} calls. See ${local.runbooks}/throttles.md."
  namespace           = "AWS/States"
  metric_name         = "ThrottledEvents"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  threshold           = 20
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  dimensions          = { APIName = each.key }
}

resource "aws_cloudwatch_metric_alarm" "table_throttled" {
  alarm_name          = "${var.name}-store-throttled"
  alarm_description   = "The store refuses calls. See ${local.runbooks}/throttles.md."
  namespace           = "AWS/DynamoDB"
  metric_name         = "WriteThrottleEvents"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  threshold           = 50
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  dimensions          = { TableName = var.table_name }
}
