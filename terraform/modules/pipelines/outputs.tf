output "machines" {
  description = "Pipelines' machines by pipeline: `arn`, and `version_arn` that new runs take."
  value = {
    for name, machine in local.machines : machine.pipeline => {
      arn         = aws_sfn_state_machine.this[name].arn
      version_arn = aws_sfn_state_machine.this[name].state_machine_version_arn
    } if machine.part == null
  }
}

output "versions" {
  description = "Deployed pipeline versions by pipeline."
  value       = { for pipeline, manifest in local.manifests : pipeline => manifest.version }
}

output "repositories" {
  description = "URLs of the image repositories, by repository."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "task_roles" {
  description = "ARNs of the roles that tasks have, by pipeline."
  value       = { for pipeline, role in aws_iam_role.task : pipeline => role.arn }
}

output "task_contract_policy" {
  description = "What every task needs of the documents bucket, as a policy: for roles in `task_roles` with `grant = false`."
  value       = data.aws_iam_policy_document.contract.json
}

output "task_log_groups" {
  description = "Log groups of tasks, by pipeline."
  value       = { for pipeline, group in aws_cloudwatch_log_group.tasks : pipeline => group.name }
}

output "deployment_results" {
  description = "What record-event answered to each deployment."
  value       = { for pipeline, deployment in aws_lambda_invocation.deployment : pipeline => deployment.result }
}
