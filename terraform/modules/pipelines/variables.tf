variable "system" {
  description = "Name of the set of pipelines that is deployed together, such as `ventas`. One build folder, one state."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", var.system)) && length(var.system) <= 24
    error_message = "system takes lower-case letters, digits, hyphens and underscores, at most 24 characters."
  }
}

variable "build_dir" {
  description = "Folder that `cauce build` wrote: `<pipeline>/manifest.json` with plan and definitions, and `project.json`. Deploying the previous folder is the rollback."
  type        = string
}

variable "canary_percent" {
  description = "Deploys changed pipelines as canaries: so many of a hundred of their new runs take what is deployed now, the others go on as before. Null: all take it. `cauce canary` moves on from there."
  type        = number
  default     = null

  validation {
    condition     = var.canary_percent == null ? true : contains(range(100), var.canary_percent)
    error_message = "canary_percent must be a whole number from 0 to 99."
  }
}

variable "control_plane" {
  description = "Outputs of the module control-plane of this environment."
  type = object({
    name        = string
    environment = string
    cluster_arn = string
    documents   = object({ bucket = string, arn = string, uri = string })

    function_arns = map(string)
    queues        = map(object({ arn = string, url = string, name = string }))
    task_machines = map(string)
    kind_roles    = map(string)
    scheduler     = object({ group = string, role_arn = string })

    machine_log_group_arn = string
    log_retention_days    = number
    key_arn               = optional(string)
  })
}

variable "network" {
  description = "Where container tasks run: `subnet_ids`, `security_group_ids`, `assign_public_ip` (outputs of the module network)."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
    assign_public_ip   = bool
  })

  validation {
    condition     = length(var.network.subnet_ids) > 0 && length(var.network.security_group_ids) > 0
    error_message = "network needs at least one subnet and one security group."
  }
}

variable "values" {
  description = "Values for `$${{ env.x }}`, over those that project.json has for the environment."
  type        = any
  default     = {}
}

variable "buckets" {
  description = "Buckets that tasks use, by any name: `arn` and whether tasks write there. Every task of the system gets them."
  type        = map(object({ arn = string, write = optional(bool, true) }))
  default     = {}

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : can(regex("^arn:[a-z-]+:s3:::[^/*]+$", bucket.arn))])
    error_message = "buckets take ARNs of buckets, without a path: arn:aws:s3:::name."
  }
}

variable "data_key_arns" {
  description = "KMS keys of those buckets that tasks may use."
  type        = list(string)
  default     = []
}

variable "task_policies" {
  description = "Further IAM policies (JSON) of the tasks of a pipeline, by pipeline: what its own code calls."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for policy in values(var.task_policies) : can(jsondecode(policy))])
    error_message = "task_policies holds policy documents as JSON."
  }
}

variable "task_roles" {
  description = "Roles that tasks may name (`role:` of a container) besides the one that is made for each pipeline. Each is granted the task contract by a policy of this module, unless `grant` is false."
  type        = list(object({ arn = string, grant = optional(bool, true) }))
  default     = []

  validation {
    condition     = alltrue([for role in var.task_roles : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*]+$", role.arn))])
    error_message = "task_roles takes ARNs of roles, without wildcards: arn:aws:iam::123456789012:role/name."
  }
}

variable "images" {
  description = "Images by their name in the pipelines, over `images.<name>.ecr` of project.json: `repository:tag` of a repository made here, or a whole reference with its registry."
  type        = map(string)
  default     = {}
}

variable "image_digests" {
  description = "Digests (`sha256:...`) by image name. An image with one is pinned by it instead of by its tag."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for digest in values(var.image_digests) : can(regex("^sha256:[0-9a-f]{64}$", digest))])
    error_message = "image_digests holds sha256:<64 hex digits>."
  }
}

variable "entrypoint" {
  description = "Entry point of every task container: `cauce-run`, found on the image's PATH. It uploads the output and passes signals on."
  type        = list(string)
  default     = ["cauce-run"]
}

variable "entrypoint_image" {
  description = "Image that holds the program cauce-run and `cp`, for images that have no cauce-run of their own: an init container copies it from there. Null: images carry it."
  type        = string
  default     = null
}

variable "platform_version" {
  description = "Fargate platform version of tasks."
  type        = string
  default     = "1.4.0"
}

variable "alarm_topic_arns" {
  description = "SNS topics that a failed run's alarm goes to. Without any, no alarm per pipeline is made (each has a price)."
  type        = list(string)
  default     = []
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete image repositories that hold images."
  type        = bool
  default     = false
}
