variable "name" {
  description = "Name of cluster, service and task, and value of the dimension `service` of all metrics."
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
  description = "Private subnets with a way to the internet, in at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids has subnets of at least two zones, so that the tasks of one remain when the other fails."
  }
}

variable "image" {
  description = "The image, with its version or its digest."
  type        = string
  validation {
    condition     = can(regex("^[^:@ ]+(:[0-9]+/[^:@ ]+)?(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image ends with a version or a digest, such as :0.1.0, and not with :latest, which is another image tomorrow."
  }
}

variable "public_url" {
  description = "The address of clients, such as `wss://realtime.example.com`."
  type        = string
  validation {
    condition     = can(regex("^wss://[^/]+", var.public_url))
    error_message = "public_url begins with wss://, because the load balancer terminates TLS."
  }
}

variable "target_group_arn" {
  description = "The target group in which tasks are registered."
  type        = string
}

variable "load_balancer" {
  description = "The security group of the load balancer, and the networks of its own addresses, which send PROXY headers."
  type        = object({ security_group_id = string, cidrs = list(string) })
  validation {
    condition     = length(var.load_balancer.cidrs) > 0 && alltrue([for cidr in var.load_balancer.cidrs : can(cidrhost(cidr, 0))])
    error_message = "load_balancer.cidrs are networks, such as 10.0.0.0/20: without one every PROXY header is refused, and with it every client."
  }
}

variable "clients_are_hidden" {
  description = "Whether the load balancer receives another address in the place of clients', as behind an accelerator. Then there are no limits per address."
  type        = bool
  default     = false
  validation {
    condition     = !var.clients_are_hidden || !can(regex(local.limit_per_address_in_config, var.config))
    error_message = "config has a limit per address, which would be one of all clients together while their addresses are hidden."
  }
}

variable "operators" {
  description = "Who may reach the internal port (metrics, status, administration), each under a name: a security group (`sg-…`), or a network (`10.1.64.0/20`)."
  type        = map(string)
  default     = {}
  validation {
    condition = alltrue([
      for source in values(var.operators) :
      strcontains(source, "/") ? can(cidrnetmask(source)) && try(tonumber(split("/", source)[1]) >= 16, false) : startswith(source, "sg-")
    ])
    error_message = "operators are security groups such as sg-0123456789abcdef0, and networks of at most 65,536 addresses such as 10.1.64.0/20."
  }
}

variable "database" {
  description = "The output `connection` of the module `database`."
  type = object({
    host               = string
    port               = number
    certificates       = string
    database           = string
    role               = string
    password_arn       = string
    owner              = string
    owner_password_arn = string
  })
}

variable "redis" {
  description = "The output `connection` of the module `cache`."
  type = object({
    host         = string
    port         = number
    user         = string
    password_arn = string
  })
}

variable "namespace" {
  description = "Namespace of the metrics in CloudWatch."
  type        = string
  default     = "Realtime"
  validation {
    condition     = !startswith(var.namespace, "AWS/")
    error_message = "namespace does not begin with AWS/, where only AWS sends metrics."
  }
}

variable "log_retention_days" {
  description = "Days that log lines of the tasks are kept."
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
