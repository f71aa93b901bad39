variable "name" {
  description = "Name of the load balancer, such as `realtime`."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name)) && !endswith(var.name, "-") && !startswith(var.name, "internal-")
    error_message = "name has 1 to 20 small letters, digits and hyphens, begins with a letter, does not end with a hyphen, and does not begin with internal-."
  }
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets, one in each zone."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids has subnets of at least two zones, so that clients find the load balancer without one of them."
  }
}

variable "target_cidrs" {
  description = "Addresses that the tasks may have."
  type        = list(string)
  validation {
    condition     = alltrue([for cidr in var.target_cidrs : can(cidrhost(cidr, 0))])
    error_message = "target_cidrs are networks, such as 10.0.64.0/20."
  }
}

variable "domain" {
  description = "The name of the server, and the id of the zone in Route 53 that it belongs to."
  type = object({
    name    = string
    zone_id = string
  })
  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain.name))
    error_message = "domain.name is a whole name in small letters without a scheme, such as realtime.example.com."
  }
  validation {
    condition     = length(var.domain.name) <= 64
    error_message = "domain.name has at most 64 characters, as a certificate of ACM."
  }
  validation {
    condition     = can(regex("^Z[A-Z0-9]+$", var.domain.zone_id))
    error_message = "domain.zone_id is the id of a hosted zone, such as Z0123456789ABCDEFGHIJ: aws route53 list-hosted-zones shows it."
  }
}

variable "has_record" {
  description = "Whether the name leads to this load balancer. False behind an accelerator, which has the name then."
  type        = bool
  default     = true
}

variable "port" {
  description = "The port of the tasks."
  type        = number
  default     = 8080
}

variable "drain" {
  description = "Seconds of server.drain_delay, server.drain_timeout and server.shutdown_timeout."
  type        = object({ delay = number, timeout = number, shutdown = number })
  default     = { delay = 20, timeout = 60, shutdown = 5 }
  validation {
    condition     = var.drain.delay >= var.health_check.interval * var.health_check.unhealthy_threshold + 5
    error_message = "drain.delay is at least all checks that must fail and 5 seconds more: until then the load balancer sends new clients to a task that stops."
  }
}

variable "health_check" {
  description = "Seconds between two checks of a task, and how many of them must fail."
  type        = object({ interval = number, unhealthy_threshold = number })
  default     = { interval = 5, unhealthy_threshold = 2 }
  validation {
    condition     = var.health_check.interval >= 5 && var.health_check.interval <= 300
    error_message = "health_check.interval is from 5 to 300 seconds."
  }
  validation {
    condition     = var.health_check.unhealthy_threshold >= 2 && var.health_check.unhealthy_threshold <= 10
    error_message = "health_check.unhealthy_threshold is from 2 to 10."
  }
}

variable "deregistration_delay" {
  description = "Seconds from the deregistration of a task until ECS stops it."
  type        = number
  default     = 30
  validation {
    condition     = var.deregistration_delay >= 15 && var.deregistration_delay <= 120
    error_message = "deregistration_delay is from 15 to 120 seconds: shorter, new clients still come when the drain begins; longer, it only delays each deployment."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer can only be deleted after this is false."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Days that access logs are kept."
  type        = number
  default     = 30
  validation {
    condition     = var.log_retention_days >= 1
    error_message = "log_retention_days is at least 1."
  }
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
