# Development: the profile minimal, where nothing is billed by the hour, and everything may be destroyed.

locals {
  name = "${var.project}-dev"

  # A bucket's name fills `${{ env.<its key> }}`. Names, not resources: rules are made from them at plan time.
  values = merge({ for key, bucket in var.buckets : key => bucket.name }, var.values)
}

module "network" {
  source = "../../modules/network"

  name        = local.name
  profile     = "minimal"
  task_egress = var.task_egress
}

module "notifications" {
  source = "../../modules/notifications"

  name               = local.name
  topics             = { alarms = var.alarm_mails }
  mail_identities    = var.mail_identities
  monthly_budget_usd = var.monthly_budget_usd
  budget_tag         = { key = "cauce:deployment", value = local.name }
}

module "lake" {
  source = "../../modules/lake"

  buckets       = var.buckets
  force_destroy = true
}

module "control_plane" {
  source = "../../modules/control-plane"

  name                   = local.name
  environment            = "dev"
  build_dir              = var.build_dir
  functions_dir          = var.functions_dir
  architecture           = var.architecture
  channels               = try(jsondecode(file("${var.build_dir}/project.json")).channels, {})
  values                 = local.values
  lake_bucket_arns       = concat([for bucket in module.lake.buckets : bucket.arn], [for bucket in var.foreign_buckets : bucket.arn])
  task_targets           = var.task_targets
  notify_topic_arns      = values(module.notifications.topic_arns)
  notify_identity_arns   = module.notifications.identity_arns
  notify_secret_arns     = var.notify_secret_arns
  reserved_concurrency   = var.reserved_concurrency
  api_enabled            = var.api_enabled
  api_keys               = try(jsondecode(file("${var.build_dir}/project.json")).api, {})
  api_secret_arns        = var.api_secret_arns
  extra_environment      = var.extra_environment
  sweep_enabled          = var.sweep_enabled
  log_retention_days     = 30
  deletion_protection    = false
  point_in_time_recovery = false
  force_destroy          = true
}

module "pipelines" {
  source = "../../modules/pipelines"

  system           = var.project
  build_dir        = var.build_dir
  canary_percent   = var.canary_percent
  control_plane    = module.control_plane
  network          = module.network.tasks
  values           = local.values
  buckets          = merge({ for key, bucket in module.lake.buckets : key => { arn = bucket.arn } }, var.foreign_buckets)
  task_policies    = var.task_policies
  task_roles       = var.task_roles
  images           = var.images
  image_digests    = var.image_digests
  entrypoint_image = var.entrypoint_image
  force_destroy    = true
}

module "observability" {
  source = "../../modules/observability"
  count  = var.observability ? 1 : 0

  name                   = local.name
  functions              = keys(module.control_plane.function_arns)
  queues                 = module.control_plane.queues
  machine_log_group_name = module.control_plane.machine_log_group_name
  table_name             = module.control_plane.table.name
  machine_arns           = { for pipeline, machine in module.pipelines.machines : pipeline => machine.arn }
  alarm_topic_arns       = [module.notifications.topic_arns["alarms"]]
}

module "ci_role" {
  source = "../../modules/ci-role"
  count  = var.github_repository == null ? 0 : 1

  name               = local.name
  repository         = var.github_repository
  github_environment = "dev"
  create_provider    = var.create_github_provider
  state_bucket       = var.state.bucket
  state_key          = var.state.key
  lake_bucket_names  = [for bucket in var.buckets : bucket.name]
  task_role_arns     = [for role in var.task_roles : role.arn]
}
