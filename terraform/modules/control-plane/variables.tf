variable "name" {
  description = "Prefix of every name, `<project>-<environment>`, such as `cauce-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 24
    error_message = "name takes lower-case letters, digits and single hyphens, at most 24 characters: the longest names built from it (schedules, roles, functions) end at 64."
  }
}

variable "environment" {
  description = "Name of the environment in cauce.yaml, such as `dev`. The functions read it as CAUCE_ENVIRONMENT."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.environment))
    error_message = "environment is named like in cauce.yaml: lower-case letters, digits and underscores."
  }
}

variable "functions_dir" {
  description = "Folder with one `<function>.zip` per function, each holding the executable `bootstrap`."
  type        = string
}

variable "build_dir" {
  description = "Folder that `cauce build` wrote; the task machines are read from its `system/*.asl.json`."
  type        = string
}

variable "architecture" {
  description = "Processor of the function packages: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture is x86_64 or arm64."
  }
}

variable "log_level" {
  description = "Level of the functions' logs (CAUCE_LOG)."
  type        = string
  default     = "info"

  validation {
    condition     = contains(["error", "warn", "info", "debug", "trace"], var.log_level)
    error_message = "log_level is error, warn, info, debug or trace."
  }
}

variable "log_retention_days" {
  description = "Days that function and state machine logs are kept: a period CloudWatch Logs offers."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of the periods of CloudWatch Logs: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, ..."
  }
}

variable "reserved_concurrency" {
  description = "Concurrent executions set aside per function, so that a busy account never starves them. -1 reserves none (an account must keep 100 unreserved)."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for function, count in var.reserved_concurrency : contains(["trigger-run", "open-run", "begin-task", "expand-map", "finish-task", "close-run", "record-event", "sweep", "notify", "take-tokens", "api"], function) && count >= -1])
    error_message = "reserved_concurrency names functions (trigger-run, finish-task, sweep, ...) and their counts, -1 or more."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the store. On for anything whose history matters."
  type        = bool
  default     = true
}

variable "point_in_time_recovery" {
  description = "Keep 35 days of continuous backups of the store."
  type        = bool
  default     = true
}

variable "force_destroy" {
  description = "Let `terraform destroy` empty the documents bucket. Only for environments that may be lost."
  type        = bool
  default     = false
}

variable "customer_key" {
  description = "Encrypt with a customer-managed KMS key of this deployment instead of AWS-owned keys. Has a monthly price."
  type        = bool
  default     = false
}

variable "document_retention_days" {
  description = "Days that task inputs and outputs are kept in the documents bucket. Plans and deployments are kept for ever."
  type        = number
  default     = 400

  validation {
    condition     = var.document_retention_days >= 30
    error_message = "document_retention_days is at least 30: a rerun reads the outputs of the tasks that it keeps."
  }
}

variable "container_insights" {
  description = "Container Insights of the cluster: `disabled`, `enabled` or `enhanced`. Its metrics have a price."
  type        = string
  default     = "disabled"

  validation {
    condition     = contains(["disabled", "enabled", "enhanced"], var.container_insights)
    error_message = "container_insights is disabled, enabled or enhanced."
  }
}

variable "sweep_enabled" {
  description = "Run the sweep every five minutes. Off only where somebody else invokes it, such as a test."
  type        = bool
  default     = true
}

variable "lake_bucket_arns" {
  description = "Buckets whose objects `wait_for` may look for: begin-task and sweep read their listing."
  type        = list(string)
  default     = []
}

variable "task_targets" {
  description = "What tasks may call, by kind, as ARNs: lambda functions, glue jobs, emr_serverless applications, batch job queues and definitions, athena workgroups (with athena_catalog: the catalog, databases and tables of Glue that queries name, and athena_buckets: where data and results lie), state machines, http connections. A kind without targets may call nothing."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = alltrue([for kind in keys(var.task_targets) : contains(["lambda", "glue", "emr_serverless", "batch", "athena", "athena_catalog", "athena_buckets", "state_machine", "http"], kind)])
    error_message = "task_targets knows lambda, glue, emr_serverless, batch, athena, athena_catalog, athena_buckets, state_machine and http."
  }
}

variable "emr_job_role_arns" {
  description = "Roles that EMR Serverless jobs may be started with."
  type        = list(string)
  default     = []
}

variable "notify_topic_arns" {
  description = "SNS topics that notify publishes to."
  type        = list(string)
  default     = []
}

variable "notify_identity_arns" {
  description = "SES identities that notify sends from."
  type        = list(string)
  default     = []
}

variable "notify_secret_arns" {
  description = "Secrets with addresses and keys of channels (Slack, Teams, PagerDuty). An ARN may end in `-??????`."
  type        = list(string)
  default     = []
}

variable "notify_event_bus_arns" {
  description = "EventBridge buses that notify puts events on."
  type        = list(string)
  default     = []
}

variable "channels" {
  description = "Channels of the project, as in cauce.yaml; notify reads them, filled, as the document `channels.json`."
  type        = any
  default     = {}
}

variable "values" {
  description = "Values for `$${{ env.x }}` in channels, over those that project.json has for the environment."
  type        = any
  default     = {}
}

variable "extra_environment" {
  description = "Further environment variables of the functions, such as AWS_ENDPOINT_URL for an emulated cloud."
  type        = map(string)
  default     = {}
}

variable "api_enabled" {
  description = "Serve the HTTP interface: runs, approvals, metrics and webhooks. It is reached from the internet; keys and signatures guard it. Nothing of it is billed by the hour."
  type        = bool
  default     = false
}

variable "api_keys" {
  description = "Keys of the HTTP interface (`api` of cauce.yaml): scopes, and references of secrets. The function reads them as the document `api.json`."
  type        = any
  default     = {}
}

variable "api_secret_arns" {
  description = "Secrets that the HTTP interface reads: tokens of its keys, keys of webhooks. An ARN may end in `-??????`."
  type        = list(string)
  default     = []
}

variable "api_rate" {
  description = "Requests per second that the HTTP interface takes, and how many may come at once."
  type        = object({ per_second = number, burst = number })
  default     = { per_second = 20, burst = 40 }

  validation {
    condition     = var.api_rate.per_second >= 1 && var.api_rate.burst >= 1
    error_message = "api_rate takes at least one request per second."
  }
}
