output "plan_role_arn" {
  description = "Role of pull request workflows: the repository variable AWS_PLAN_ROLE."
  value       = aws_iam_role.this["plan"].arn
}

output "deploy_role_arn" {
  description = "Role of deploy and rollback workflows: the environment variable AWS_DEPLOY_ROLE."
  value       = aws_iam_role.this["deploy"].arn
}
