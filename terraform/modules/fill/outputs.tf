output "texts" {
  description = "The texts, filled; by the same keys."
  value       = local.filled
}

output "values" {
  description = "The values of the environment, as they are."
  value       = local.values
}

output "problem" {
  description = "What to say when names have no value; null when all have."
  value = length(local.missing) == 0 ? null : join("", [
    "the environment ${var.environment} has no value for ${join(", ", [for name in local.missing : "env.${name}"])}. ",
    "Give it in cauce.yaml (environments.${var.environment}.values) or in `values`.",
  ])
}
