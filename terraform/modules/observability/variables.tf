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
