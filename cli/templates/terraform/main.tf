# The deployment of this project's pipelines. Everything is in cauce's modules; here is only what differs by environment.
# Their version is in one place: sources cannot hold variables, so `cauce init` writes it, and an update is a review of
# seven equal lines.

locals {
  name     = "${var.project}-${var.environment}"
  private  = var.profile == "private"
  build    = try(jsondecode(file("${var.build_dir}/project.json")), {})
  channels = try(local.build.channels, {})

  # A bucket's name fills `${{ env.<its key> }}`.
  values = merge({ for key, bucket in var.buckets : key => bucket.name }, var.values)
}

module "network" {
  source = "git::{{source}}//terraform/modules/network?ref={{ref}}"

  name      = local.name
  profile   = var.profile
  flow_logs = local.private
  key_arn   = module.control_plane.key_arn
}

module "notifications" {
  source = "git::{{source}}//terraform/modules/notifications?ref={{ref}}"

  name    = local.name
  topics  = { alarms = var.alarm_mails }
  key_arn = module.control_plane.key_arn
}

module "lake" {
  source = "git::{{source}}//terraform/modules/lake?ref={{ref}}"

  buckets       = var.buckets
  key_arn       = module.control_plane.key_arn
  force_destroy = !local.private
}

module "control_plane" {
  source = "git::{{source}}//terraform/modules/control-plane?ref={{ref}}"

  name                   = local.name
  environment            = var.environment
  build_dir              = var.build_dir
  functions_dir          = var.functions_dir
  channels               = local.channels
  values                 = local.values
  lake_bucket_arns       = [for bucket in module.lake.buckets : bucket.arn]
  notify_topic_arns      = values(module.notifications.topic_arns)
  customer_key           = local.private
  deletion_protection    = local.private
  point_in_time_recovery = local.private
  force_destroy          = !local.private
}

module "pipelines" {
  source = "git::{{source}}//terraform/modules/pipelines?ref={{ref}}"

  system           = var.project
  build_dir        = var.build_dir
  canary_percent   = var.canary_percent
  control_plane    = module.control_plane
  network          = module.network.tasks
  values           = local.values
  buckets          = { for key, bucket in module.lake.buckets : key => { arn = bucket.arn } }
  image_digests    = var.image_digests
  task_roles       = var.task_roles
  alarm_topic_arns = local.private ? [module.notifications.topic_arns["alarms"]] : []
  force_destroy    = !local.private
}

module "observability" {
  source = "git::{{source}}//terraform/modules/observability?ref={{ref}}"
  count  = local.private ? 1 : 0

  name                   = local.name
  functions              = keys(module.control_plane.function_arns)
  queues                 = module.control_plane.queues
  machine_log_group_name = module.control_plane.machine_log_group_name
  table_name             = module.control_plane.table.name
  machine_arns           = { for pipeline, machine in module.pipelines.machines : pipeline => machine.arn }
  alarm_topic_arns       = [module.notifications.topic_arns["alarms"]]
}

module "ci_role" {
  source = "git::{{source}}//terraform/modules/ci-role?ref={{ref}}"
  count  = var.github_repository == null ? 0 : 1

  name               = local.name
  repository         = var.github_repository
  github_environment = var.environment
  create_provider    = var.create_github_provider
  state_bucket       = var.state_bucket
  state_key          = "${var.project}/${var.environment}.tfstate"
  lake_bucket_names  = [for bucket in var.buckets : bucket.name]
  task_role_arns     = [for role in var.task_roles : role.arn]
}

output "versions" {
  description = "Deployed pipeline versions."
  value       = module.pipelines.versions
}

output "repositories" {
  description = "Where images are pushed, by repository."
  value       = module.pipelines.repositories
}

output "task_contract_policy" {
  description = "What a role of a task needs of the documents bucket, for roles that are not granted it here."
  value       = module.pipelines.task_contract_policy
}

output "ci_roles" {
  description = "Roles of the workflows: `plan` and `deploy`."
  value       = { plan = one(module.ci_role[*].plan_role_arn), deploy = one(module.ci_role[*].deploy_role_arn) }
}

output "network_idle_usd_month" {
  description = "What the network costs in a month in which nothing runs, in US dollars."
  value       = module.network.idle_usd_month.total
}
