# Images and task definitions: one per pipeline and family, since a launch cannot override image, secrets or logs.

locals {
  image_references = merge({ for name, image in try(local.project.images, {}) : name => image.ecr if can(image.ecr) }, var.images)

  # `repository:tag` is made here; anything with a registry in front is somebody else's.
  own_images = { for name, reference in local.image_references : name => reference if !can(regex("^[^/]*[.:][^/]*/", reference)) }

  repositories = toset([for reference in local.own_images : split(":", reference)[0]])

  image_uris = {
    for name, reference in local.image_references : name => (
      contains(keys(local.own_images), name)
      ? join("", [
        aws_ecr_repository.this[split(":", reference)[0]].repository_url,
        try("@${var.image_digests[name]}", ":${split(":", reference)[1]}"),
      ])
      : reference
    )
  }

  # `secret:NAME`, or `secret:NAME#KEY` for one key of a JSON secret.
  secret_names = toset(flatten([
    for family in local.families : [for reference in values(try(family.secrets, {})) : split("#", trimprefix(reference, "secret:"))[0]]
  ]))
}

# By reference only: a value never enters the state. A secret that is not there fails the plan.
data "aws_secretsmanager_secret" "this" {
  for_each = local.secret_names

  name = each.key
}

resource "aws_ecr_repository" "this" {
  for_each = local.repositories

  name                 = "${local.name}/${var.system}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.force_destroy

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = var.control_plane.key_arn == null ? "AES256" : "KMS"
    kms_key         = var.control_plane.key_arn
  }

  #checkov:skip=CKV_AWS_136: a customer-managed key comes with the control plane's (customer_key); prod has it.
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = local.repositories

  repository = aws_ecr_repository.this[each.key].name

  # Only images that lost their tag: a run may be pinned to any that has one.
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "untagged images"
      selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_cloudwatch_log_group" "tasks" {
  for_each = local.manifests

  name              = "/cauce/${local.name}/${each.key}"
  retention_in_days = var.control_plane.log_retention_days
  kms_key_id        = var.control_plane.key_arn
  tags              = { "cauce:pipeline" = each.key, "cauce:system" = var.system }

  #checkov:skip=CKV_AWS_158: a customer-managed key comes with the control plane's (customer_key); prod has it.
  #checkov:skip=CKV_AWS_338: retention is the control plane's variable.
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.families

  family                   = "${local.name}-${each.value.pipeline}-${each.value.family}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = try(each.value.cpu, 256)
  memory                   = try(each.value.memory, 512)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = coalesce(try(each.value.role, null), aws_iam_role.task[each.value.pipeline].arn)

  # Runs under way are pinned to revisions.
  skip_destroy = true

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = try(upper(each.value.architecture), "X86_64")
  }

  # 20 GiB without it; Fargate takes 21 to 200.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html
  dynamic "ephemeral_storage" {
    for_each = [for gib in [try(each.value.ephemeral_storage_gib, null)] : gib if try(gib > 20, false)]

    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  dynamic "volume" {
    for_each = var.entrypoint_image == null ? [] : ["cauce"]

    content {
      name = volume.value
    }
  }

  container_definitions = jsonencode(concat(
    [merge(
      {
        # The name that launches override (engine: CONTAINER_NAME).
        name       = "task"
        image      = local.image_uris[each.value.image]
        essential  = true
        entryPoint = var.entrypoint_image == null ? var.entrypoint : ["/cauce/cauce-run"]
        # ECS gives at most 120 s on Fargate.
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
        stopTimeout = min(120, try(each.value.stop_timeout_seconds, 30))
        # Whom `cauce-run limits take` asks.
        environment = [{ name = "CAUCE_TAKE_TOKENS", value = "${local.name}-take-tokens" }]
        secrets = [
          for variable, reference in try(each.value.secrets, {}) : {
            name = variable
            valueFrom = join("", [
              data.aws_secretsmanager_secret.this[split("#", trimprefix(reference, "secret:"))[0]].arn,
              try(":${split("#", reference)[1]}::", ""),
            ])
          }
        ]
        logConfiguration = {
          logDriver = "awslogs"
          options = {
            "awslogs-group"         = aws_cloudwatch_log_group.tasks[each.value.pipeline].name
            "awslogs-region"        = local.region
            "awslogs-stream-prefix" = each.value.family
          }
        }
      },
      var.entrypoint_image == null ? {} : {
        mountPoints = [{ sourceVolume = "cauce", containerPath = "/cauce", readOnly = true }]
        dependsOn   = [{ containerName = "cauce-run", condition = "SUCCESS" }]
      },
    )],
    var.entrypoint_image == null ? [] : [{
      name        = "cauce-run"
      image       = var.entrypoint_image
      essential   = false
      command     = ["cp", "/cauce-run", "/cauce/cauce-run"]
      mountPoints = [{ sourceVolume = "cauce", containerPath = "/cauce", readOnly = false }]
    }],
  ))

  # Without cauce:pipeline: a launch has that tag itself, and would have it twice with what it takes from here.
  tags = { "cauce:system" = var.system }

  lifecycle {
    precondition {
      condition     = contains(keys(local.image_references), each.value.image)
      error_message = "${each.value.pipeline} uses the image ${each.value.image}, which project.json gives no `ecr` and `images` does not name."
    }
  }

  #checkov:skip=CKV_AWS_336: tasks are the users' own programs; many write beside themselves. Fargate's disk is the task's alone.
}
