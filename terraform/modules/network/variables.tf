variable "name" {
  description = "Prefix of every name, `<project>-<environment>`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 24
    error_message = "name takes lower-case letters, digits and single hyphens, at most 24 characters."
  }
}

variable "profile" {
  description = "`minimal`: public subnets without inbound, gateway endpoints, nothing billed by the hour. `private`: private subnets that reach AWS by `egress`."
  type        = string

  validation {
    condition     = contains(["minimal", "private"], var.profile)
    error_message = "profile is minimal or private."
  }
}

variable "egress" {
  description = "How private subnets reach AWS and the rest: `endpoints` (AWS services only), `nat` (anything), or `both`. Not used by the profile minimal."
  type        = string
  default     = "endpoints"

  validation {
    condition     = contains(["endpoints", "nat", "both"], var.egress)
    error_message = "egress is endpoints, nat or both."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in every zone instead of one. Survives the loss of a zone, at as many times the price."
  type        = bool
  default     = false
}

variable "cidr" {
  description = "Addresses of the VPC: a /16 to /22."
  type        = string
  default     = "10.64.0.0/20"

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && tonumber(try(split("/", var.cidr)[1], 0)) >= 16 && tonumber(try(split("/", var.cidr)[1], 99)) <= 22
    error_message = "cidr is a block of private addresses between /16 and /22, such as 10.64.0.0/20."
  }
}

variable "zones" {
  description = "Availability zones to spread tasks over, 1 to 3."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2, 3], var.zones)
    error_message = "zones is 1, 2 or 3."
  }
}

variable "interface_services" {
  description = "AWS services that private subnets reach by interface endpoints, each billed by hour and zone. The defaults are what a Fargate task needs to start, log and fetch secrets."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "sts"]
}

variable "task_egress" {
  description = "Where tasks may connect to: address blocks and TCP ports."
  type        = list(object({ description = string, cidr = string, from_port = number, to_port = number }))
  default = [
    { description = "HTTPS: AWS and other services", cidr = "0.0.0.0/0", from_port = 443, to_port = 443 },
  ]
}

variable "flow_logs" {
  description = "Record rejected connections in CloudWatch Logs."
  type        = bool
  default     = false
}

variable "flow_log_retention_days" {
  description = "Days that flow logs are kept."
  type        = number
  default     = 30
}

variable "key_arn" {
  description = "KMS key of the flow logs, or null."
  type        = string
  default     = null
}
