variable "project" {
  description = "Name of the project, the first half of the prefix of every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.project)) && length(var.project) <= 19
    error_message = "project takes lower-case letters, digits and single hyphens, at most 19 characters."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"
}

variable "account" {
  description = "AWS account that this may be applied to; any other is refused. Null takes whichever the credentials belong to."
  type        = string
  default     = null

  validation {
    condition     = var.account == null || can(regex("^[0-9]{12}$", var.account))
    error_message = "account is a number of 12 digits."
  }
}

variable "build_dir" {
  description = "Folder that `cauce build` wrote, from this folder."
  type        = string
}

variable "canary_percent" {
  description = "Deploys changed pipelines as canaries that take so many of a hundred new runs. See modules/pipelines."
  type        = number
  default     = null
}

variable "functions_dir" {
  description = "Folder with the packages of the functions, from this folder."
  type        = string
}

variable "architecture" {
  description = "Processor of the function packages: x86_64 or arm64."
  type        = string
  default     = "x86_64"
}

variable "buckets" {
  description = "Data buckets that are made here, by the name under which pipelines know them (`$${{ env.NAME }}` is the bucket's name). See modules/lake for the settings."
  type        = any
  default     = {}
}

variable "foreign_buckets" {
  description = "Data buckets of others that tasks use, by any name: `arn`, and `write` if tasks write there. Their owner turns EventBridge notifications on."
  type        = map(object({ arn = string, write = optional(bool, false) }))
  default     = {}
}

variable "values" {
  description = "Values for `$${{ env.x }}`, over those of cauce.yaml."
  type        = any
  default     = {}
}

variable "images" {
  description = "Images by name, over those of cauce.yaml."
  type        = map(string)
  default     = {}
}

variable "image_digests" {
  description = "Digests by image name, to pin images by."
  type        = map(string)
  default     = {}
}

variable "entrypoint_image" {
  description = "Image that cauce-run is copied from, for images without it. Null: images carry it."
  type        = string
  default     = null
}

variable "task_policies" {
  description = "Further IAM policies (JSON) of tasks, by pipeline."
  type        = map(string)
  default     = {}
}

variable "task_roles" {
  description = "Roles that tasks may name (`role:` of a container), by ARN. Each is granted the task contract, unless `grant` is false."
  type        = list(object({ arn = string, grant = optional(bool, true) }))
  default     = []
}

variable "task_targets" {
  description = "What tasks may call, by kind, as ARNs. See modules/control-plane."
  type        = map(list(string))
  default     = {}
}

variable "task_egress" {
  description = "Where tasks may connect to. See modules/network."
  type        = list(object({ description = string, cidr = string, from_port = number, to_port = number }))
  default     = [{ description = "HTTPS", cidr = "0.0.0.0/0", from_port = 443, to_port = 443 }]
}

variable "alarm_mails" {
  description = "Mail addresses that alarms go to. Each must confirm."
  type        = list(string)
  default     = []
}

variable "mail_identities" {
  description = "Addresses or domains that notices are mailed from."
  type        = set(string)
  default     = []
}

variable "notify_secret_arns" {
  description = "Secrets with the addresses of channels (Slack, Teams, PagerDuty)."
  type        = list(string)
  default     = []
}

variable "monthly_budget_usd" {
  description = "Monthly budget of this deployment in US dollars, or null."
  type        = number
  default     = null
}

variable "github_repository" {
  description = "GitHub repository (`owner/name`) whose workflows deploy this, or null for none."
  type        = string
  default     = null
}

variable "create_github_provider" {
  description = "Make the account's OIDC provider for GitHub. False where another deployment of the account did."
  type        = bool
  default     = true
}

variable "state" {
  description = "Where this deployment's state is (`bucket`, `key`), so that the workflows' roles may reach it. Needed with github_repository."
  type        = object({ bucket = string, key = string })
  default     = null

  validation {
    condition     = var.github_repository == null || var.state != null
    error_message = "state says bucket and key of the state when github_repository is given."
  }
}

variable "observability" {
  description = "Make alarms and a dashboard. Each has a monthly price."
  type        = bool
  default     = false
}

variable "reserved_concurrency" {
  description = "Reserved concurrency by function. None by default: a new account has only 10 in all."
  type        = map(number)
  default     = {}
}

variable "extra_environment" {
  description = "Further environment variables of the functions."
  type        = map(string)
  default     = {}
}

variable "sweep_enabled" {
  description = "Run the sweep every five minutes."
  type        = bool
  default     = true
}

variable "api_enabled" {
  description = "Serve the HTTP interface: runs, approvals, metrics, webhooks. Reached from the internet, guarded by keys and signatures."
  type        = bool
  default     = false
}

variable "api_secret_arns" {
  description = "Secrets of the HTTP interface: tokens of its keys, keys of webhooks."
  type        = list(string)
  default     = []
}
