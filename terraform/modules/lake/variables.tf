variable "buckets" {
  description = "Buckets by the name under which the pipelines know them (`lake`, `landing`): `name`, and what happens to old data. `archive_prefixes` move to Glacier Instant Retrieval after that many days, `expire_prefixes` are deleted."
  type = map(object({
    name                     = string
    noncurrent_days          = optional(number, 30)
    infrequent_access_days   = optional(number)
    archive_prefixes         = optional(map(number), {})
    expire_prefixes          = optional(map(number), {})
    replica_bucket_arn       = optional(string)
    replica_key_arn          = optional(string)
    replica_storage_class    = optional(string, "STANDARD_IA")
    replica_time_control     = optional(bool, true)
    server_access_log_bucket = optional(string)
    announce_objects         = optional(bool, true)
  }))

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket.name))])
    error_message = "bucket names have 3 to 63 lower-case letters, digits, dots and hyphens."
  }

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : bucket.infrequent_access_days == null || try(bucket.infrequent_access_days >= 30, false)])
    error_message = "infrequent_access_days is at least 30: S3 moves nothing to Standard-IA before."
  }
}

variable "key_arn" {
  description = "KMS key of the data, or null for keys of S3."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Let `terraform destroy` empty the buckets. Only for environments that may be lost."
  type        = bool
  default     = false
}
