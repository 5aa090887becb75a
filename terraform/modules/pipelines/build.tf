# Reads the build folder. Everything below comes from there; nothing about a pipeline is said twice.

locals {
  name        = var.control_plane.name
  environment = var.control_plane.environment

  project = try(jsondecode(file("${var.build_dir}/project.json")), {})

  # How versions are given to runs, where it is not simply to all of them.
  release = {
    for name, value in {
      canary        = var.canary_percent
      new_pipelines = try(local.project.environments[local.environment].new_pipelines, null)
    } : name => value if value != null && value != "active"
  }

  # Slots by pool.
  pools = { for name, pool in try(local.project.pools, {}) : name => pool.slots }

  # Figures of breakers and rate limits by name, times in seconds.
  controls = merge({ breakers = {}, rate_limits = {} }, try(local.project.controls, {}))

  build_files = setunion(fileset(var.build_dir, "*/manifest.json"), fileset(var.build_dir, "*/*.asl.json"))

  filled = module.fill.texts

  manifests = {
    for file, text in local.filled : jsondecode(text).pipeline => merge(jsondecode(text), { folder = dirname(file) })
    if basename(file) == "manifest.json"
  }

  # Every machine: a pipeline's own, and its parts.
  machines = merge([
    for pipeline, manifest in local.manifests : {
      for machine in manifest.machines : machine.name => {
        pipeline = pipeline
        part     = try(machine.part, null)
        file     = "${manifest.folder}/${machine.file}"
      }
    }
  ]...)

  functions = {
    for placeholder in ["open_run", "begin_task", "expand_map", "finish_task", "close_run"] :
    placeholder => var.control_plane.function_arns[replace(placeholder, "_", "-")]
  }

  definitions = {
    for name, machine in local.machines : name => replace(replace(replace(replace(replace(
      local.filled[machine.file],
      "$${open_run}", local.functions.open_run),
      "$${begin_task}", local.functions.begin_task),
      "$${expand_map}", local.functions.expand_map),
      "$${finish_task}", local.functions.finish_task),
    "$${close_run}", local.functions.close_run)
  }

  # Families of a pipeline, by `<pipeline>/<family>`: the plan names them by family.
  families = merge([
    for pipeline, manifest in local.manifests : {
      for definition in try(manifest.task_definitions, []) :
      "${pipeline}/${definition.family}" => merge(definition, { pipeline = pipeline })
    }
  ]...)

  schedules = merge([
    for pipeline, manifest in local.manifests : {
      for position, schedule in manifest.schedules :
      "${pipeline}/${try(schedule.name, position)}" => merge(schedule, { pipeline = pipeline, name = tostring(try(schedule.name, position)) })
      if can(schedule.expression)
    }
  ]...)

  # One rule per bucket and prefix, whichever pipelines look there: trigger-run matches keys against all of them.
  prefixes = merge([
    for manifest in local.manifests : merge([
      for trigger in try(manifest.triggers, []) : {
        for prefix in trigger.prefixes : "${trigger.bucket}/${prefix}" => { bucket = trigger.bucket, prefix = prefix }
      }
      if try(trigger.kind, "") == "file"
    ]...)
  ]...)

  undated = [for pipeline, manifest in local.manifests : pipeline if anytrue([for schedule in manifest.schedules : !can(schedule.expression)])]
}

module "fill" {
  source = "../fill"

  build_dir   = var.build_dir
  environment = local.environment
  values      = var.values
  texts       = { for file in local.build_files : file => file(join("/", [var.build_dir, file])) if !startswith(file, "system/") }
}

check "schedules" {
  assert {
    condition     = length(local.undated) == 0
    error_message = "not scheduled: ${join(", ", local.undated)}. Their manifests have no schedule expressions (schema 1); build them again with this version of cauce."
  }
}
