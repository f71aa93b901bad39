variable "name" {
  description = "Name of the cache, such as `realtime`."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name)) && !can(regex("--|-$", var.name))
    error_message = "name has 1 to 20 small letters, digits and single hyphens, and begins with a letter."
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
    error_message = "subnet_ids has subnets of at least two zones, so that a replica in another one can take over."
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
  description = "Version of Valkey, with its minor one. AWS does not upgrade it; a higher one is an upgrade in place, a lower one another cache."
  type        = string
  default     = "8.0"
  validation {
    condition     = can(regex("^(7\\.2|([89]|[1-9][0-9])\\.[0-9]+)$", var.engine_version))
    error_message = "engine_version is a version of Valkey with its minor one, from 7.2 on, such as 8.0."
  }
}

variable "node_type" {
  description = "Size of each node."
  type        = string
  default     = "cache.t4g.small"
  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type))
    error_message = "node_type is a type of ElastiCache, such as cache.t4g.small."
  }
}

variable "nodes" {
  description = "The primary and its replicas."
  type        = number
  default     = 2
  validation {
    condition     = var.nodes >= 2 && var.nodes <= 6 && floor(var.nodes) == var.nodes
    error_message = "nodes is from 2 to 6: without a replica there is nothing to fail over to."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts what is stored. Null: the AWS managed key."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
