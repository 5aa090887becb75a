# Production: private subnets, a key of its own, point-in-time recovery, deletion protection, alarms.

locals {
  name = "${var.project}-prod"

  # A bucket's name fills `${{ env.<its key> }}`. Names, not resources: rules are made from them at plan time.
  values = merge({ for key, bucket in var.buckets : key => bucket.name }, var.values)
}

module "network" {
  source = "../../modules/network"

  name        = local.name
  profile     = "private"
  egress      = var.egress
  task_egress = var.task_egress
  flow_logs   = true
  key_arn     = module.control_plane.key_arn
}

module "notifications" {
  source = "../../modules/notifications"

  name               = local.name
  topics             = { alarms = var.alarm_mails }
  mail_identities    = var.mail_identities
  monthly_budget_usd = var.monthly_budget_usd
  budget_tag         = { key = "cauce:deployment", value = local.name }
  key_arn            = module.control_plane.key_arn
}

module "lake" {
  source = "../../modules/lake"

  buckets = var.buckets
  key_arn = module.control_plane.key_arn
}

module "control_plane" {
  source = "../../modules/control-plane"

  name                   = local.name
  environment            = "prod"
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
  log_retention_days     = var.log_retention_days
  deletion_protection    = true
  point_in_time_recovery = true
  customer_key           = true
  container_insights     = "enabled"
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
  alarm_topic_arns = [module.notifications.topic_arns["alarms"]]
}

module "observability" {
  source = "../../modules/observability"

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
  github_environment = "prod"
  create_provider    = var.create_github_provider
  state_bucket       = var.state.bucket
  state_key          = var.state.key
  lake_bucket_names  = [for bucket in var.buckets : bucket.name]
  task_role_arns     = [for role in var.task_roles : role.arn]
}
