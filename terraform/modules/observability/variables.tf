variable "name" {
  description = "Prefix of alarms, and name of the dashboard."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "name has 1 to 20 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "alarms_file" {
  description = "The conditions of the alarms: infra/monitoring/cloudwatch-alarms.json of the version that runs. Null: that of this repository."
  type        = string
  default     = null
  validation {
    condition     = var.alarms_file == null || can(jsondecode(file(var.alarms_file)).alarms)
    error_message = "alarms_file is the path of a file like infra/monitoring/cloudwatch-alarms.json."
  }
}

variable "namespace" {
  description = "`telemetry.cloudwatch.namespace` of the servers."
  type        = string
  default     = "Realtime"
  validation {
    condition     = !startswith(var.namespace, "AWS/")
    error_message = "namespace does not begin with AWS/, where only AWS sends metrics."
  }
}

variable "dimensions" {
  description = "`telemetry.cloudwatch.dimensions` of the servers; with others an alarm has no data."
  type        = map(string)
  default     = {}
  validation {
    condition     = length(var.dimensions) <= 20
    error_message = "dimensions are at most 20, because a metric has at most 30 and some have labels."
  }
}

variable "tenant_databases" {
  description = "Whether tenants have databases: private rooms, messages from SQL, changes of tables."
  type        = bool
  default     = true
}

variable "database" {
  description = "The output `monitored` of the module `database`, for its alarms. Null: there are none."
  type        = object({ cluster_id = string, connections_max = number })
  default     = null
}

variable "cache" {
  description = "The output `monitored` of the module `cache`, for its alarms. Null: there are none."
  type        = object({ node_ids = list(string) })
  default     = null
}

variable "load_balancer" {
  description = "The output `monitored` of the module `edge`, and the fewest tasks that are to be healthy, for alarms. Null: there are none."
  type        = object({ load_balancer = string, target_group = string, targets_min = number })
  default     = null
}

variable "service" {
  description = "The output `monitored` of the module `service`, for its alarms. Null: there are none."
  type        = object({ cluster = string, service = string, log_namespace = string })
  default     = null
}

variable "thresholds" {
  description = "From when on the alarms of resources are raised."
  type = object({
    # As many as `changes.durable` may keep in a healthy system, and more.
    slot_bytes                   = optional(number, 5000000000)
    database_capacity_percent    = optional(number, 90)
    database_storage_bytes       = optional(number, 1000000000)
    database_connections_percent = optional(number, 80)
    cache_memory_percent         = optional(number, 75)
    cache_cpu_percent            = optional(number, 80)
    cache_lag_seconds            = optional(number, 10)
    task_memory_percent          = optional(number, 85)
  })
  default = {}
  validation {
    condition     = alltrue([for name, value in var.thresholds : value > 0 && (!endswith(name, "_percent") || value < 100)])
    error_message = "thresholds are above 0, and percentages below 100, which they never exceed."
  }
}

variable "emails" {
  description = "Addresses that receive alarms. Each is sent a link by which it is confirmed."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "emails are addresses such as operators@example.com."
  }
}

variable "runbook_url" {
  description = "Where docs/runbook.md is found, for the descriptions of the alarms."
  type        = string
  default     = "docs/runbook.md"
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
