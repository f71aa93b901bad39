variable "name" {
  description = "Name of the cluster, such as `realtime`."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "name has 1 to 20 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets in at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids has subnets of at least two zones, so that another instance can take over."
  }
}

variable "clients" {
  description = "Security groups that may connect, each under a name."
  type        = map(string)
  default     = {}
}

variable "client_cidrs" {
  description = "Networks that may connect, each under a name: those of tasks in another region, over a peering."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for cidr in values(var.client_cidrs) : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "client_cidrs are networks of at most 65,536 addresses, such as 10.1.64.0/20."
  }
}

variable "engine_version" {
  description = "Version of Aurora PostgreSQL, from 16 on; without a minor one that of AWS, which also upgrades it."
  type        = string
  default     = "16"
  validation {
    condition     = can(regex("^(1[6-9]|[2-9][0-9])(\\.[0-9]+)?$", var.engine_version))
    error_message = "engine_version is a version of PostgreSQL from 16 on, such as 16 or 16.8: in an older one the role of the server, which has CREATEROLE, can set the password of the owner."
  }
}

variable "allow_major_version_upgrade" {
  description = "Whether another major `engine_version` is an upgrade, and not an error. The replication slots of the server have to be dropped before."
  type        = bool
  default     = false
}

variable "apply_immediately" {
  description = "Whether a change that interrupts connections, such as another version, is made by the apply, and not in the next maintenance window."
  type        = bool
  default     = false
}

variable "database_name" {
  description = "Name of the database."
  type        = string
  default     = "realtime"
  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database_name))
    error_message = "database_name has small letters, digits and underscores, and begins with a letter."
  }
}

variable "certificates" {
  description = "The certificates that sign those of the databases of this region, as PEM. Null: those that the module has (`certificates/`)."
  type        = string
  default     = null
  validation {
    condition     = var.certificates == null || can(regex("-----BEGIN CERTIFICATE-----", var.certificates))
    error_message = "certificates is the text of a file with PEM: file(\"eu-central-1-bundle.pem\")."
  }
}

variable "role" {
  description = "Name of the role that the server connects as."
  type        = string
  default     = "realtime"
  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.role)) && !contains(["postgres", "anon", "authenticated", "service_role"], var.role)
    error_message = "role has small letters, digits and underscores, begins with a letter, and is not a role of the owner or of clients."
  }
}

variable "instances" {
  description = "Instances of the cluster. One alone has no other that could take over."
  type        = number
  default     = 2
  validation {
    condition     = var.instances >= 1 && var.instances <= 15 && floor(var.instances) == var.instances
    error_message = "instances is a whole number from 1 to 15."
  }
}

variable "min_capacity" {
  description = "Aurora capacity units (about 2 GiB of memory each) that an instance always has."
  type        = number
  default     = 0.5
  validation {
    condition     = var.min_capacity >= 0.5
    error_message = "min_capacity is at least 0.5: a cluster that pauses (0) cannot have logical replication, which messages from SQL and changes of tables need."
  }
}

variable "max_capacity" {
  description = "Aurora capacity units that an instance may grow to."
  type        = number
  default     = 4
  validation {
    condition     = var.max_capacity >= 1 && var.max_capacity <= 256 && var.max_capacity >= var.min_capacity
    error_message = "max_capacity is from 1 to 256, and not below min_capacity."
  }
}

variable "backup_days" {
  description = "Days that can be restored to."
  type        = number
  default     = 14
  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days is from 1 to 35."
  }
}

variable "deletion_protection" {
  description = "Whether RDS refuses to delete the cluster, and Terraform to plan that."
  type        = bool
  default     = true
}

variable "final_snapshot_suffix" {
  description = "End of the name of the snapshot that is made when the cluster is deleted. One of this name must not exist, or the deletion fails."
  type        = string
  default     = "final"
  validation {
    condition     = can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", var.final_snapshot_suffix))
    error_message = "final_snapshot_suffix has small letters, digits and single hyphens between them."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts storage, secrets, Performance Insights and logs; its policy allows CloudWatch Logs to use it. Null: AWS managed keys."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days that log lines of PostgreSQL are kept."
  type        = number
  default     = 30
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096], var.log_retention_days)
    error_message = "log_retention_days is one of the periods of CloudWatch Logs, such as 30, 90 or 365."
  }
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
