variable "name" {
  description = "Prefix of what the roles may deploy, `<project>-<environment>`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 24
    error_message = "name takes lower-case letters, digits and single hyphens, at most 24 characters."
  }
}

variable "repository" {
  description = "GitHub repository, `owner/name`, whose workflows may take the roles."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository is owner/name, without wildcards."
  }
}

variable "github_environment" {
  description = "GitHub environment whose jobs may deploy, such as `prod`. Its protection rules (reviewers, branches) are the approval."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+$", var.github_environment))
    error_message = "github_environment takes letters, digits, hyphens and underscores."
  }
}

variable "create_provider" {
  description = "Make the account's OIDC provider for GitHub. An account has one: false where another deployment made it."
  type        = bool
  default     = true
}

variable "state_bucket" {
  description = "Bucket of the Terraform state."
  type        = string
}

variable "state_key" {
  description = "Key of this deployment's state in it."
  type        = string
}

variable "lake_bucket_names" {
  description = "Buckets of the module lake that the deploy role manages."
  type        = list(string)
  default     = []
}

variable "task_role_arns" {
  description = "Roles of others that tasks have: the deploy role grants them the task contract and passes them to tasks."
  type        = list(string)
  default     = []
}
