output "name" {
  description = "The prefix of every name."
  value       = var.name
}

output "environment" {
  description = "The environment's name in cauce.yaml."
  value       = var.environment
}

output "table" {
  description = "The store: `name` and `arn`."
  value       = { name = aws_dynamodb_table.store.name, arn = aws_dynamodb_table.store.arn }
}

output "documents" {
  description = "The documents bucket: `bucket`, `arn` and `uri` (CAUCE_DOCUMENTS)."
  value = {
    bucket = aws_s3_bucket.documents.id
    arn    = aws_s3_bucket.documents.arn
    uri    = local.documents_uri
  }
}

output "cluster_arn" {
  description = "The ECS cluster."
  value       = aws_ecs_cluster.this.arn
}

output "function_arns" {
  description = "Functions by name (`trigger-run`, ...)."
  value       = { for name, function in aws_lambda_function.this : name => function.arn }

  # Whoever invokes a function wants it able to work.
  depends_on = [aws_iam_role_policy.function, aws_s3_bucket_policy.documents]
}

output "queues" {
  description = "Queues by name (`triggers`, `events`, `notices`, `dead-letters`): `arn`, `url` and `name`."
  value = merge(
    { for name, queue in aws_sqs_queue.this : name => { arn = queue.arn, url = queue.url, name = queue.name } },
    { dead-letters = { arn = aws_sqs_queue.dead_letters.arn, url = aws_sqs_queue.dead_letters.url, name = aws_sqs_queue.dead_letters.name } },
  )
}

output "task_machines" {
  description = "Version ARNs of the task machines by kind: what Open answers."
  value       = { for kind, machine in aws_sfn_state_machine.task : kind => machine.state_machine_version_arn }
}

output "kind_roles" {
  description = "Names of the task machines' roles by kind."
  value       = { for kind, role in aws_iam_role.kind : kind => role.name }
}

output "machine_log_group_arn" {
  description = "Log group of all state machines."
  value       = aws_cloudwatch_log_group.machines.arn
}

output "machine_log_group_name" {
  description = "Name of the log group of all state machines."
  value       = aws_cloudwatch_log_group.machines.name
}

output "scheduler" {
  description = "The schedule group and the role that its schedules take: `group`, `role_arn`."
  value       = { group = aws_scheduler_schedule_group.this.name, role_arn = aws_iam_role.scheduler.arn }

  depends_on = [aws_iam_role_policy.scheduler]
}

output "key_arn" {
  description = "The customer-managed key, or null."
  value       = one(aws_kms_key.this[*].arn)
}

output "log_retention_days" {
  description = "Days that logs are kept."
  value       = var.log_retention_days
}

output "api_url" {
  description = "The address of the HTTP interface, or null."
  value       = one([for api in aws_apigatewayv2_api.this : api.api_endpoint])
}
