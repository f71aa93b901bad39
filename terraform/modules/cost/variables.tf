variable "size" {
  description = "`small`, `medium` or `large`, as the root has them (sizes.json)."
  type        = string
  default     = "small"
  validation {
    condition     = contains(["small", "medium", "large"], var.size)
    error_message = "size is small, medium or large; `resources` has other ones."
  }
}

variable "resources" {
  description = "Another size: a task and how many there are, capacity units of the database, type of the nodes of the cache. Null: `size`."
  type = object({
    task      = object({ cpu = number, memory = number, max_connections = number, count = object({ min = number, max = number }) })
    database  = object({ min = number, max = number })
    node_type = string
  })
  default = null
  validation {
    condition     = var.resources == null || can(var.prices.node_hour[var.resources.node_type])
    error_message = "prices.node_hour has no price of resources.node_type."
  }
}

variable "connections" {
  description = "Open connections, on average over the month."
  type        = number
  default     = 0
  validation {
    condition     = var.connections >= 0
    error_message = "connections is not negative."
  }
  validation {
    condition     = try(var.connections <= local.size.task.count.max * local.size.task.max_connections, true)
    error_message = "connections is at most what all tasks of the size accept: count.max times max_connections. Take a larger size."
  }
}

variable "traffic" {
  description = "Of a client: how long it stays, messages a second that it receives and sends, bytes of one with all headers, and bytes a second each way without messages (heartbeats every 25 seconds, pings every 30, and their acknowledgements)."
  type = object({
    session_minutes       = optional(number, 30)
    received_per_second   = optional(number, 0.1)
    sent_per_second       = optional(number, 0.01)
    message_bytes         = optional(number, 300)
    idle_bytes_per_second = optional(number, 10)
  })
  default = {}
  validation {
    condition     = alltrue([for value in values(var.traffic) : value >= 0]) && var.traffic.session_minutes > 0
    error_message = "traffic has no negative values, and session_minutes is above 0."
  }
}

variable "database" {
  description = "Instances, capacity units of each on average (null: the fewest), GB stored, and millions of reads and writes of storage."
  type = object({
    instances   = optional(number, 2)
    capacity    = optional(number)
    storage_gb  = optional(number, 10)
    io_millions = optional(number, 20)
  })
  default = {}
}

variable "cache_nodes" {
  description = "The primary of the cache and its replicas."
  type        = number
  default     = 2
}

variable "zones" {
  description = "Availability zones."
  type        = number
  default     = 2
}

variable "nat_gateways" {
  description = "NAT gateways."
  type        = number
  default     = 2
}

variable "nat_gb_per_task" {
  description = "GB of a task through the NAT: metrics, log lines, images, identity providers."
  type        = number
  default     = 2
}

variable "log_gb_per_task" {
  description = "GB of log lines of a task."
  type        = number
  default     = 1
}

variable "settings_interval" {
  description = "`settings_interval` of the module `service`."
  type        = number
  default     = 30
}

variable "counts" {
  description = "What CloudWatch and Secrets Manager count: metrics of the server, those that its labels add, those of Container Insights, those that are counted in the log, metrics of alarms, secrets with that of the owner."
  type = object({
    server_metrics   = optional(number, 49)
    labelled_metrics = optional(number, 30)
    insights_metrics = optional(number, 40)
    log_metrics      = optional(number, 1)
    alarm_metrics    = optional(number, 69)
    secrets          = optional(number, 6)
  })
  default = {}
}

variable "accelerator" {
  description = "Whether clients connect through Global Accelerator."
  type        = bool
  default     = false
}

# List prices in US dollars of us-east-1, on demand, without the free tier of new accounts. They are inputs: give those of your region
# and day. Of 2026-09, from stored copies of public pages read on 2026-11-30: tasks, Aurora, load balancer, NAT, logs, domain and
# accelerator are quoted there from AWS or its price list; nodes of Valkey cost 20 percent less than those of Redis OSS, which are
# quoted. Addresses, keys, secrets, traffic and metrics are the long-standing prices of AWS, and were not looked up again.

variable "prices" {
  description = "Prices in US dollars, with their date and region. Those that are not given are of us-east-1 in September 2026."
  type = object({
    date   = optional(string, "2026-09-20")
    region = optional(string, "us-east-1")
    # Fargate, Linux on x86.
    vcpu_hour      = optional(number, 0.04048)
    memory_gb_hour = optional(number, 0.004445)
    # Aurora, Standard.
    acu_hour    = optional(number, 0.12)
    database_gb = optional(number, 0.10)
    io_million  = optional(number, 0.20)
    # ElastiCache for Valkey, by type of node.
    node_hour = optional(map(number), {
      "cache.t4g.micro"  = 0.0128
      "cache.t4g.small"  = 0.0256
      "cache.m7g.large"  = 0.1264
      "cache.m7g.xlarge" = 0.252
    })
    # Network Load Balancer, and what a capacity unit has of TLS.
    load_balancer_hour  = optional(number, 0.0225)
    nlcu_hour           = optional(number, 0.006)
    nlcu_new_per_second = optional(number, 50)
    nlcu_connections    = optional(number, 3000)
    nlcu_gb_per_hour    = optional(number, 1)
    nat_hour            = optional(number, 0.045)
    nat_gb              = optional(number, 0.045)
    address_hour        = optional(number, 0.005)
    # To the internet, by GB of a month; between zones out of one and into the other.
    data_out = optional(list(object({ from_gb = number, gb = number })), [
      { from_gb = 0, gb = 0 },
      { from_gb = 100, gb = 0.09 },
      { from_gb = 10240, gb = 0.085 },
      { from_gb = 51200, gb = 0.07 },
      { from_gb = 153600, gb = 0.05 },
    ])
    between_zones_gb = optional(number, 0.02)
    # CloudWatch.
    metric               = optional(number, 0.30)
    metric_requests_1000 = optional(number, 0.01)
    alarm_metric         = optional(number, 0.10)
    dashboard            = optional(number, 3)
    log_gb               = optional(number, 0.50)
    # Secrets Manager, KMS, Route 53.
    secret                = optional(number, 0.40)
    secret_requests_10000 = optional(number, 0.05)
    key                   = optional(number, 1)
    zone                  = optional(number, 0.50)
    # Global Accelerator: an hour, and a GB of the direction with more, within North America or Europe.
    accelerator_hour = optional(number, 0.025)
    accelerator_gb   = optional(number, 0.015)
  })
  default = {}
  validation {
    condition     = can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", var.prices.date))
    error_message = "prices.date is the day of the prices, such as 2026-09-20."
  }
  validation {
    condition     = length(var.prices.data_out) > 0 && alltrue([for index, tier in var.prices.data_out : tier.from_gb > try(var.prices.data_out[index - 1].from_gb, -1) || index == 0]) && try(var.prices.data_out[0].from_gb == 0, false)
    error_message = "prices.data_out begins with from_gb = 0, and each tier begins above the one before."
  }
}
