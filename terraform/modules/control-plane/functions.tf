# The functions. Each has a role of its own (roles.tf) and a package `<functions_dir>/<function>.zip`.

locals {
  functions = merge(local.always, var.api_enabled ? { api = { timeout_seconds = 29, memory_mb = 256 } } : {})

  always = {
    # Events to at most one run. Scheduler and the triggers queue call it.
    trigger-run = { timeout_seconds = 60, memory_mb = 256 } # hands a tick out to the items of a matrix
    # Called by states: a wait would be billed in Step Functions and here, so they answer fast or not at all.
    open-run    = { timeout_seconds = 30, memory_mb = 256 }
    begin-task  = { timeout_seconds = 75, memory_mb = 256 } # performs lambda and http tasks of up to 60 s itself
    expand-map  = { timeout_seconds = 30, memory_mb = 256 }
    finish-task = { timeout_seconds = 30, memory_mb = 256 }
    close-run   = { timeout_seconds = 30, memory_mb = 256 }
    # Status events; and deployments, which Terraform calls.
    record-event = { timeout_seconds = 60, memory_mb = 256 }
    # Shorter than its period, so that two hardly ever overlap. It takes that long only where much is overdue: it keeps
    # below the rates of the services that it asks.
    sweep  = { timeout_seconds = 290, memory_mb = 256 }
    notify = { timeout_seconds = 60, memory_mb = 256 }
    # Called by programs inside tasks. It says when, and whoever asked waits.
    take-tokens = { timeout_seconds = 15, memory_mb = 256 }
  }

  # Functions that something invokes asynchronously: what fails there is kept, not dropped.
  asynchronous = toset(["trigger-run", "sweep"])
}

resource "aws_cloudwatch_log_group" "function" {
  for_each = local.functions

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = one(aws_kms_key.this[*].arn)

  #checkov:skip=CKV_AWS_158: a customer-managed key is a variable (customer_key); prod has it.
  #checkov:skip=CKV_AWS_338: retention is a variable, 90 days by default; the audit trail is in the store, not in logs.
}

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name                  = "${var.name}-${each.key}"
  role                           = aws_iam_role.function[each.key].arn
  filename                       = "${var.functions_dir}/${each.key}.zip"
  source_code_hash               = filebase64sha256("${var.functions_dir}/${each.key}.zip")
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  memory_size                    = each.value.memory_mb
  timeout                        = each.value.timeout_seconds
  reserved_concurrent_executions = lookup(var.reserved_concurrency, each.key, -1)
  kms_key_arn                    = one(aws_kms_key.this[*].arn)

  environment {
    variables = merge(
      {
        CAUCE_ENVIRONMENT  = var.name
        CAUCE_TABLE        = aws_dynamodb_table.store.name
        CAUCE_DOCUMENTS    = local.documents_uri
        CAUCE_CLUSTER      = aws_ecs_cluster.this.arn
        CAUCE_NOTICES      = aws_sqs_queue.this["notices"].url
        CAUCE_TRIGGERS     = aws_sqs_queue.this["triggers"].url
        CAUCE_DEAD_LETTERS = aws_sqs_queue.dead_letters.url
        CAUCE_LOG          = var.log_level
      },
      var.extra_environment,
    )
  }

  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.function]

  #checkov:skip=CKV_AWS_50: tracing is left to the structured logs, which carry run, task and attempt; X-Ray samples.
  #checkov:skip=CKV_AWS_115: reserved concurrency is a variable, for trigger-run, finish-task and sweep.
  #checkov:skip=CKV_AWS_116: asynchronous functions have a failure destination below; the others are called by states and queues.
  #checkov:skip=CKV_AWS_117: the functions call AWS APIs over TLS and hold no network of their own; tasks run in the network module's subnets.
  #checkov:skip=CKV_AWS_173: a customer-managed key is a variable (customer_key); no variable is a secret.
  #checkov:skip=CKV_AWS_272: packages come from the build pipeline's own role; code signing needs a signer per account.
}

resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = local.asynchronous

  function_name                = aws_lambda_function.this[each.key].function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.dead_letters.arn
    }
  }
}

# Lambda ends a chain of messages when one function has been called about 16 times by it:
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
# trigger-run makes such chains on purpose. What it has no time to book of a dataset's updates it leaves to a message to
# its own queue, 16 updates each. Every round books some or sends nothing, so the chain ends; were it cut all the same, the
# sweep would go on with it. For every other function the detection stays on.
resource "aws_lambda_function_recursion_config" "trigger_run" {
  function_name  = aws_lambda_function.this["trigger-run"].function_name
  recursive_loop = "Allow"
}
