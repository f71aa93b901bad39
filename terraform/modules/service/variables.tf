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

variable "config" {
  description = "The text of config.toml, without secrets. A change is applied by running tasks."
  type        = string
  validation {
    condition     = length(var.config) > 0 && length(var.config) < 1000000
    error_message = "config is the text of a file: file(\"config.toml\"). An empty one is refused by the server."
  }
  validation {
    condition     = !anytrue([for secret in local.secrets_in_config : can(regex(secret, var.config))])
    error_message = "config has no secrets, because it is in the state: they are in Secrets Manager, and `setting_secrets` names those that the module does not make."
  }
}

variable "setting_secrets" {
  description = "Secrets of further settings, by the variables of these: `{ REALTIME__TELEMETRY__PUSH__AUTH = \"arn:…\" }`, by their whole ARNs."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for name in keys(var.setting_secrets) : can(regex("^[A-Z][A-Z0-9_]*$", name)) && !endswith(name, "_FILE")])
    error_message = "setting_secrets has variables of settings, such as REALTIME__TELEMETRY__PUSH__AUTH, without _FILE at their end."
  }
  validation {
    condition     = alltrue([for arn in values(var.setting_secrets) : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$", arn))])
    error_message = "setting_secrets are whole ARNs of secrets in Secrets Manager, with the hyphen and the six characters at their end: IAM allows no others."
  }
  validation {
    condition     = alltrue([for arn in values(var.setting_secrets) : try(split(":", arn)[3] == split(":", var.database.password_arn)[3], true)])
    error_message = "setting_secrets are of the region of the other secrets: a task asks one region for all of them."
  }
  validation {
    condition     = length(var.setting_secrets) <= 14
    error_message = "setting_secrets are at most 14: with those of the module a request has 20."
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
  description = "Whether the load balancer sees another address in the place of clients', as behind an accelerator. Then there are no limits per address."
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

# An object, because the ARN of a secret that is made by the same apply is unknown in the plan, and whether there is one is not.
variable "jwt_secret" {
  description = "The secret that signs the tokens of clients, one a line, by its whole ARN: `{ arn = … }`. Null: one is made, which is deleted when another one is given later, and can be restored for 30 days. The other one has what is in it as well then, so that clients' tokens are accepted until they expire. A key that encrypts it belongs into `secret_kms_key_arns`."
  type        = object({ arn = string })
  default     = null
  validation {
    condition     = var.jwt_secret == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$", var.jwt_secret.arn))
    error_message = "jwt_secret.arn is the whole ARN of a secret in Secrets Manager, with the hyphen and the six characters at its end: IAM allows no other. The secret itself does not belong here."
  }
  validation {
    condition     = try(split(":", var.jwt_secret.arn)[3] == split(":", var.database.password_arn)[3], true)
    error_message = "jwt_secret.arn is of the region of the other secrets: a task asks one region for all of them."
  }
  # Their names end with the time at which they were made, and a number.
  validation {
    condition     = var.jwt_secret == null || !can(regex(":secret:${var.name}-jwt-[0-9]{18}[0-9a-f]{8}-[A-Za-z0-9]{6}$", var.jwt_secret.arn))
    error_message = "jwt_secret.arn is that of a secret that this module makes, and deletes when another one is given: leave it out, or put what is in it into a secret with another name."
  }
}

variable "shared_secrets" {
  description = "The output `secrets` of the service in another region, whose database and Redis this one uses as well. Its secrets are used, and it migrates the database. Null: this service does."
  type        = object({ jwt_secret_arn = string, operators_secret_arn = string, encryption_key_arn = string })
  default     = null
  validation {
    condition     = var.shared_secrets == null || var.jwt_secret == null
    error_message = "jwt_secret belongs to the service of the other region: they are in `shared_secrets`."
  }
}

variable "previous_encryption_key" {
  description = "The secret with the key that encrypted the secrets of stored tenants before, while it is rotated, by its whole ARN: `{ arn = … }`."
  type        = object({ arn = string })
  default     = null
  validation {
    condition     = var.previous_encryption_key == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$", var.previous_encryption_key.arn))
    error_message = "previous_encryption_key.arn is the whole ARN of a secret in Secrets Manager, with the hyphen and the six characters at its end: IAM allows no other. The key itself does not belong here."
  }
  validation {
    condition     = try(split(":", var.previous_encryption_key.arn)[3] == split(":", var.database.password_arn)[3], true)
    error_message = "previous_encryption_key.arn is of the region of the other secrets: a task asks one region for all of them."
  }
}

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

variable "namespace" {
  description = "Namespace of the metrics in CloudWatch."
  type        = string
  default     = "Realtime"
  validation {
    condition     = !startswith(var.namespace, "AWS/")
    error_message = "namespace does not begin with AWS/, where only AWS sends metrics."
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

variable "kms_key_arn" {
  description = "Key that encrypts secrets and logs; its policy allows CloudWatch Logs to use it. Null: the AWS managed key."
  type        = string
  default     = null
}

variable "secret_kms_key_arns" {
  description = "Keys of secrets that are encrypted with another one than `kms_key_arn`: that of `jwt_secret`, and those of the modules `database` and `cache`."
  type        = list(string)
  default     = []
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
