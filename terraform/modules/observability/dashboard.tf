locals {
  region = data.aws_region.current.name

  # CloudWatch draws at most 500 metrics in a widget.
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
  shown_max = 100
  shown     = { for pipeline in slice(sort(keys(var.machine_arns)), 0, min(local.shown_max, length(var.machine_arns))) : pipeline => var.machine_arns[pipeline] }

  widgets = concat(
    length(local.shown) == 0 ? [] : [
      {
        title   = "Runs that succeeded"
        metrics = [for pipeline, arn in local.shown : ["AWS/States", "ExecutionsSucceeded", "StateMachineArn", arn, { label = pipeline, stat = "Sum" }]]
      },
      {
        title   = "Runs that failed"
        metrics = [for pipeline, arn in local.shown : ["AWS/States", "ExecutionsFailed", "StateMachineArn", arn, { label = pipeline, stat = "Sum" }]]
      },
      {
        title   = "Length of runs, p95 (ms)"
        metrics = [for pipeline, arn in local.shown : ["AWS/States", "ExecutionTime", "StateMachineArn", arn, { label = pipeline, stat = "p95" }]]
      },
    ],
    [
      {
        title   = "Decisions"
        metrics = [for function in sort(var.functions) : ["AWS/Lambda", "Invocations", "FunctionName", "${var.name}-${function}", { label = function, stat = "Sum" }]]
      },
      {
        title   = "Length of decisions, p95 (ms)"
        metrics = [for function in sort(var.functions) : ["AWS/Lambda", "Duration", "FunctionName", "${var.name}-${function}", { label = function, stat = "p95" }]]
      },
      {
        title   = "Throttled decisions"
        metrics = [for function in sort(var.functions) : ["AWS/Lambda", "Throttles", "FunctionName", "${var.name}-${function}", { label = function, stat = "Sum" }]]
      },
      {
        title   = "Messages waiting"
        metrics = [for name, queue in var.queues : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name, { label = name, stat = "Maximum" }]]
      },
      {
        title   = "Age of the oldest message (s)"
        metrics = [for name, queue in var.queues : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.name, { label = name, stat = "Maximum" }]]
      },
      {
        title = "Store"
        metrics = [
          ["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", var.table_name, { label = "write units", stat = "Sum" }],
          ["AWS/DynamoDB", "ConsumedReadCapacityUnits", "TableName", var.table_name, { label = "read units", stat = "Sum" }],
          ["AWS/DynamoDB", "WriteThrottleEvents", "TableName", var.table_name, { label = "throttled writes", stat = "Sum" }],
        ]
      },
    ],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for position, widget in local.widgets : {
        type       = "metric"
        x          = (position % 3) * 8
        y          = floor(position / 3) * 6
        width      = 8
        height     = 6
        properties = { title = widget.title, metrics = widget.metrics, region = local.region, period = 300, view = "timeSeries" }
      }
    ]
  })
}
