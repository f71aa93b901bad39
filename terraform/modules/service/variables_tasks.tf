# Variables of the size of tasks, of their times, and of the images beside that of the server.

variable "cpu" {
  description = "CPU of a task, in units of which 1,024 are one processor."
  type        = number
  default     = 1024
}

variable "memory" {
  description = "Memory of a task in MiB, of which 256 are for the container that fetches settings."
  type        = number
  default     = 4096
  validation {
    condition = contains(lookup({
      "512"  = [for gib in range(1, 5) : gib * 1024]
      "1024" = [for gib in range(2, 9) : gib * 1024]
      "2048" = [for gib in range(4, 17) : gib * 1024]
      "4096" = [for gib in range(8, 31) : gib * 1024]
      "8192" = [for gib in range(16, 61, 4) : gib * 1024]
    }, tostring(var.cpu), []), var.memory)
    error_message = "cpu and memory are a pair that Fargate has: 512 with 1024 to 4096, 1024 with 2048 to 8192, 2048 with 4096 to 16384, 4096 with 8192 to 30720, 8192 with 16384 to 61440 in steps of 4096."
  }
}

variable "tasks" {
  description = "The fewest and the most tasks."
  type        = object({ min = number, max = number })
  default     = { min = 2, max = 8 }
  validation {
    condition     = var.tasks.min >= 2 && var.tasks.max >= var.tasks.min
    error_message = "tasks.min is at least 2, so that clients have another task when one fails, and tasks.max is not below it."
  }
}

variable "max_connections" {
  description = "WebSockets of a task; scaling aims at six tenths of it."
  type        = number
  default     = 16384
  validation {
    condition     = var.max_connections >= 100 && var.max_connections <= 50000
    error_message = "max_connections is from 100 to 50000: a Network Load Balancer has ports for about 55,000 connections to a task, because it connects from addresses of its own."
  }
}

variable "drain" {
  description = "Seconds of server.drain_delay, server.drain_timeout and server.shutdown_timeout, the same as those of the module `edge`."
  type        = object({ delay = number, timeout = number, shutdown = number })
  default     = { delay = 20, timeout = 60, shutdown = 5 }
  validation {
    condition     = var.drain.delay + var.drain.timeout + var.drain.shutdown + 10 < 120
    error_message = "drain is less than 110 seconds in all: Fargate ends a task 120 seconds after SIGTERM, and the server needs 10 after the drain."
  }
  validation {
    condition     = var.drain.delay >= 5 && var.drain.timeout >= 1 && var.drain.shutdown >= 1
    error_message = "drain.delay is at least 5 seconds, drain.timeout and drain.shutdown at least 1."
  }
}

variable "ping_interval" {
  description = "Seconds of server.ping_interval."
  type        = number
  default     = 30
  validation {
    condition     = var.ping_interval >= 1 && var.ping_interval < 120
    error_message = "ping_interval is below 120 seconds (server.idle_timeout), and so below the 350 after which a TLS listener of a Network Load Balancer drops an idle connection."
  }
}

variable "settings_interval" {
  description = "Seconds between two requests for config.toml and for the secrets. Each is a start of the AWS CLI, about a second of CPU."
  type        = number
  default     = 30
  validation {
    condition     = var.settings_interval >= 5 && var.settings_interval <= 600
    error_message = "settings_interval is from 5 to 600 seconds."
  }
}

variable "settings_image" {
  description = "An image with the AWS CLI and a shell, which receives all secrets of the server and is fetched at each start of a task: a copy in a registry of yours, or its digest, makes it the same forever."
  type        = string
  default     = "public.ecr.aws/aws-cli/aws-cli:2.31.29"
  validation {
    condition     = can(regex("^[^:@ ]+(:[0-9]+/[^:@ ]+)?(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.settings_image)) && !endswith(var.settings_image, ":latest")
    error_message = "settings_image ends with a version or a digest, and not with :latest, which is another image tomorrow."
  }
}

variable "psql_image" {
  description = "An image with psql 15 or later and a shell, which receives the password of the owner of the database: as `settings_image`."
  type        = string
  default     = "public.ecr.aws/docker/library/postgres:17.6-alpine3.22"
  validation {
    condition     = can(regex("^[^:@ ]+(:[0-9]+/[^:@ ]+)?(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.psql_image)) && !endswith(var.psql_image, ":latest")
    error_message = "psql_image ends with a version or a digest, and not with :latest, which is another image tomorrow."
  }
}
