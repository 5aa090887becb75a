output "table" {
  description = "The store."
  value       = module.control_plane.table.name
}

output "documents" {
  description = "The documents bucket, as a URI."
  value       = module.control_plane.documents.uri
}

output "cluster" {
  description = "The ECS cluster."
  value       = module.control_plane.cluster_arn
}

output "functions" {
  description = "Functions by name."
  value       = module.control_plane.function_arns
}

output "queues" {
  description = "Queues by name."
  value       = module.control_plane.queues
}

output "machines" {
  description = "Machines by pipeline: `arn` and `version_arn`."
  value       = module.pipelines.machines
}

output "task_machines" {
  description = "Version ARNs of the task machines, by kind."
  value       = module.control_plane.task_machines
}

output "versions" {
  description = "Deployed pipeline versions."
  value       = module.pipelines.versions
}

output "task_contract_policy" {
  description = "What a role of a task needs of the documents bucket, for roles that are not granted it here."
  value       = module.pipelines.task_contract_policy
}

output "repositories" {
  description = "Where images are pushed, by repository."
  value       = module.pipelines.repositories
}

output "buckets" {
  description = "Data buckets by the name under which pipelines know them."
  value       = module.lake.buckets
}

output "ci_roles" {
  description = "Roles of the workflows: `plan` and `deploy`."
  value       = { plan = one(module.ci_role[*].plan_role_arn), deploy = one(module.ci_role[*].deploy_role_arn) }
}

output "idle_usd_month" {
  description = "What this deployment costs in a month in which nothing runs, in US dollars at list prices of us-east-1."
  value       = local.idle_usd_month
}

output "api_url" {
  description = "The address of the HTTP interface, or null."
  value       = module.control_plane.api_url
}
