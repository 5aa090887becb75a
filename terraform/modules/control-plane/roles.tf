# One role per function, with what that function does and nothing else. The statements are shared by name, so that the
# table `allowed` reads as who does what.

locals {
  function_statements = {
    table = [{
      actions = [
        "dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem",
        "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
      ]
      resources = [aws_dynamodb_table.store.arn, "${aws_dynamodb_table.store.arn}/index/list"]
    }]

    # Rate limits alone: a task that may ask for tokens reaches nothing else by it.
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
    limits = [{
      actions      = ["dynamodb:BatchGetItem", "dynamodb:UpdateItem"]
      resources    = [aws_dynamodb_table.store.arn]
      leading_keys = ["rate#*"]
    }]

    documents = [
      { actions = ["s3:GetObject", "s3:PutObject"], resources = ["${aws_s3_bucket.documents.arn}/*"] },
      # Without ListBucket, an object that is not there is AccessDenied instead of NoSuchKey.
      { actions = ["s3:ListBucket"], resources = [aws_s3_bucket.documents.arn] },
    ]

    channels = [{ actions = ["s3:GetObject"], resources = ["${aws_s3_bucket.documents.arn}/${aws_s3_object.channels.key}"] }]

    # What wait_for looks for; it reads no object.
    lake = length(var.lake_bucket_arns) == 0 ? [] : [{ actions = ["s3:ListBucket"], resources = var.lake_bucket_arns }]

    # A token names no machine: SendTask* is authorized against the machine that handed it out.
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
    answer = [{ actions = ["states:SendTaskFailure", "states:SendTaskSuccess"], resources = [local.machines] }]

    # Runs are started on versions, `<machine>:<number>`, which the pattern covers.
    start    = [{ actions = ["states:StartExecution"], resources = [local.machines] }]
    describe = [{ actions = ["states:DescribeExecution"], resources = [local.executions] }]
    stop     = [{ actions = ["states:StopExecution"], resources = [local.executions] }]

    # ListTasks is authorized on container instances, which Fargate has none of; the condition holds it to our cluster.
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
    find_tasks = [
      { actions = ["ecs:ListTasks"], resources = ["*"], cluster = true },
      { actions = ["ecs:DescribeTasks"], resources = [local.ecs_tasks] },
    ]
    stop_tasks = [{ actions = ["ecs:StopTask"], resources = [local.ecs_tasks] }]

    # An update of a dataset starts other pipelines: whom, trigger-run decides.
    post         = [{ actions = ["sqs:SendMessage"], resources = [aws_sqs_queue.this["triggers"].arn] }]
    notices      = [{ actions = ["sqs:SendMessage"], resources = [aws_sqs_queue.this["notices"].arn] }]
    dead_letters = [{ actions = ["sqs:SendMessage"], resources = [aws_sqs_queue.dead_letters.arn] }]

    take_triggers = [{ actions = local.receive, resources = [aws_sqs_queue.this["triggers"].arn] }]
    take_events   = [{ actions = local.receive, resources = [aws_sqs_queue.this["events"].arn] }]
    take_notices  = [{ actions = local.receive, resources = [aws_sqs_queue.this["notices"].arn] }]

    mail    = length(var.notify_identity_arns) == 0 ? [] : [{ actions = ["ses:SendEmail"], resources = var.notify_identity_arns }]
    publish = length(var.notify_topic_arns) == 0 ? [] : [{ actions = ["sns:Publish"], resources = var.notify_topic_arns }]
    secrets = length(var.notify_secret_arns) == 0 ? [] : [{ actions = ["secretsmanager:GetSecretValue"], resources = var.notify_secret_arns }]
    # The values of its keys and of webhooks' keys, and the logs of tasks.
    api_secrets = length(var.api_secret_arns) == 0 ? [] : [{ actions = ["secretsmanager:GetSecretValue"], resources = var.api_secret_arns }]
    task_logs   = [{ actions = ["logs:GetLogEvents"], resources = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/cauce/${var.name}/*:*"] }]

    bus = length(var.notify_event_bus_arns) == 0 ? [] : [{ actions = ["events:PutEvents"], resources = var.notify_event_bus_arns }]
  }

  receive   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
  ecs_tasks = "arn:${local.partition}:ecs:${local.region}:${local.account}:task/${var.name}/*"

  # Every decision may wake somebody by answering a token. A begin looks whether an upstream's execution still lives; what
  # ends a run starts the one that waits behind it, and looks at who has its name if it is taken. A run that is let in may
  # end the one before it (overlap), and a task that ends ends the run that it has started: these stop executions too.
  # Functions behind a queue bury what nobody can read; and Lambda hands over what failed of asynchronous ones with their
  # own role. https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
  deciding   = ["table", "documents", "answer"]
  ending     = concat(local.deciding, ["start", "describe", "notices", "post"])
  cancelling = concat(local.ending, ["stop"])

  allowed = {
    trigger-run  = ["table", "documents", "start", "describe", "dead_letters", "take_triggers", "post", "notices"]
    open-run     = local.cancelling
    begin-task   = concat(local.cancelling, ["lake"])
    expand-map   = concat(local.deciding, ["describe"])
    finish-task  = local.cancelling
    close-run    = local.cancelling
    record-event = concat(local.cancelling, ["dead_letters", "stop_tasks", "take_events"])
    sweep        = concat(local.cancelling, ["dead_letters", "find_tasks", "stop_tasks"])
    api          = concat(local.cancelling, ["task_logs", "api_secrets"])
    notify       = ["channels", "dead_letters", "take_notices", "mail", "publish", "secrets", "bus"]
    take-tokens  = ["limits"]
  }
}

data "aws_iam_policy_document" "assume_lambda" {
  for_each = local.functions

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }

    # https://docs.aws.amazon.com/lambda/latest/dg/lambda-permissions.html
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name}-${each.key}"]
    }
  }
}

resource "aws_iam_role" "function" {
  for_each = local.functions

  name               = "${var.name}-${each.key}"
  description        = "The function ${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume_lambda[each.key].json
}

data "aws_iam_policy_document" "function" {
  for_each = local.functions

  #checkov:skip=CKV_AWS_356: only ecs:ListTasks, which has no resource on Fargate and is held to our cluster by condition.

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
  }

  dynamic "statement" {
    for_each = flatten([
      for name in local.allowed[each.key] : [
        for position, statement in local.function_statements[name] : merge(statement, {
          sid = join("", concat([for word in split("_", name) : title(word)], position == 0 ? [] : [position + 1]))
        })
      ]
    ])

    content {
      sid       = statement.value.sid
      actions   = statement.value.actions
      resources = statement.value.resources

      dynamic "condition" {
        for_each = try(statement.value.cluster, false) ? [1] : []

        content {
          test     = "ArnEquals"
          variable = "ecs:cluster"
          values   = [aws_ecs_cluster.this.arn]
        }
      }

      dynamic "condition" {
        for_each = try([statement.value.leading_keys], [])

        content {
          test     = "ForAllValues:StringLike"
          variable = "dynamodb:LeadingKeys"
          values   = condition.value
        }
      }
    }
  }

  # Through the services that hold our data, never directly.
  dynamic "statement" {
    for_each = aws_kms_key.this

    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value.arn]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [for service in ["dynamodb", "lambda", "s3", "secretsmanager", "sns", "sqs"] : "${service}.${local.region}.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions

  name   = "function"
  role   = aws_iam_role.function[each.key].id
  policy = data.aws_iam_policy_document.function[each.key].json
}
