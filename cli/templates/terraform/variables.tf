variable "project" {
  description = "Name of the project, as in cauce.yaml with hyphens for underscores."
  type        = string
}

variable "environment" {
  description = "Name of the environment in cauce.yaml, such as dev or prod."
  type        = string
}

variable "profile" {
  description = "minimal: nothing billed by the hour, may be destroyed. private: private subnets, own key, backups, alarms."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "build_dir" {
  description = "Folder that `cauce build` wrote."
  type        = string
}

variable "canary_percent" {
  description = "Deploys changed pipelines as canaries that take so many of a hundred new runs; null: all take what is deployed."
  type        = number
  default     = null
}

variable "functions_dir" {
  description = "Folder with the packages of the functions."
  type        = string
}

variable "buckets" {
  description = "Data buckets, by the name under which pipelines know them."
  type        = any
  default     = {}
}

variable "values" {
  description = "Values for `$${{ env.x }}`, over those of cauce.yaml."
  type        = any
  default     = {}
}

variable "image_digests" {
  description = "Digests by image name, to pin images by."
  type        = map(string)
  default     = {}
}

variable "task_roles" {
  description = "Roles that tasks may name (`role:` of a container), by ARN. Each is granted the task contract, unless `grant` is false."
  type        = list(object({ arn = string, grant = optional(bool, true) }))
  default     = []
}

variable "alarm_mails" {
  description = "Mail addresses that alarms go to."
  type        = list(string)
  default     = []
}

variable "github_repository" {
  description = "GitHub repository (owner/name) whose workflows deploy this, or null."
  type        = string
  default     = null
}

variable "create_github_provider" {
  description = "Make the account's OIDC provider for GitHub: in one environment of an account."
  type        = bool
  default     = true
}

variable "state_bucket" {
  description = "Bucket of the Terraform state."
  type        = string
}
