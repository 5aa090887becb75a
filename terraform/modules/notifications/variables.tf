variable "name" {
  description = "Prefix of every name, `<project>-<environment>`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 24
    error_message = "name takes lower-case letters, digits and single hyphens, at most 24 characters."
  }
}

variable "topics" {
  description = "SNS topics by name, each with the mail addresses that subscribe (each must confirm)."
  type        = map(list(string))
  default     = { alarms = [] }

  validation {
    condition     = alltrue([for name in keys(var.topics) : can(regex("^[a-z][a-z0-9_-]{0,62}$", name))]) && contains(keys(var.topics), "alarms")
    error_message = "topics have lower-case names, and one of them is `alarms`: the alarms of the deployment go there."
  }

  validation {
    condition     = alltrue([for address in flatten(values(var.topics)) : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "topics list mail addresses."
  }
}

variable "mail_identities" {
  description = "Addresses or domains that notices are mailed from. SES verifies each: by a mail, or by DNS records (output mail_records)."
  type        = set(string)
  default     = []
}

variable "monthly_budget_usd" {
  description = "Monthly budget of this deployment in US dollars, by its cost allocation tag; warnings at 80% and 100%, and at a forecast of 100%. Null makes none."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null || try(var.monthly_budget_usd > 0, false)
    error_message = "monthly_budget_usd is more than 0."
  }
}

variable "budget_tag" {
  description = "Cost allocation tag (key and value) that the budget counts. Activate the key in the billing console once."
  type        = object({ key = string, value = string })
  default     = null
}

variable "key_arn" {
  description = "KMS key of the topics, or null for none."
  type        = string
  default     = null
}
