variable "name" {
  description = "Prefix of every name, `<project>-<environment>`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 24
    error_message = "name takes lower-case letters, digits and single hyphens, at most 24 characters."
  }
}

variable "functions" {
  description = "Names of the functions without the prefix (`trigger-run`, ...)."
  type        = set(string)
}

variable "queues" {
  description = "Queues by name, with their `name` in SQS; one is `dead-letters` (output of the module control-plane)."
  type        = map(object({ name = string, arn = string, url = string }))

  validation {
    condition     = contains(keys(var.queues), "dead-letters")
    error_message = "queues has dead-letters."
  }
}

variable "machine_log_group_name" {
  description = "Log group of the state machines."
  type        = string
}

variable "table_name" {
  description = "The store."
  type        = string
}

variable "machine_arns" {
  description = "Machines shown on the dashboard, by pipeline."
  type        = map(string)
  default     = {}
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to."
  type        = list(string)
  default     = []
}

variable "notice_age_seconds" {
  description = "Age of the oldest undelivered notice that raises an alarm. A critical alert is to arrive within five minutes."
  type        = number
  default     = 300

  validation {
    condition     = var.notice_age_seconds >= 60
    error_message = "notice_age_seconds is at least 60: the metric has a value a minute."
  }
}
