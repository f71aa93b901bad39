variable "region" {
  description = "Region of everything, such as `eu-central-1`."
  type        = string
}

variable "domain" {
  description = "The name of the server, and the id of the zone in Route 53 that it belongs to."
  type        = object({ name = string, zone_id = string })
}

variable "image" {
  description = "The image, with its version or its digest."
  type        = string
}

variable "emails" {
  description = "Addresses that receive alarms. Each is sent a link by which it is confirmed."
  type        = list(string)
  validation {
    condition     = length(var.emails) > 0
    error_message = "emails has an address: alarms that are sent to none are noticed by none."
  }
}

variable "network" {
  description = "A network that exists, with subnets of each kind in two zones or more. Null: one is made, in three zones."
  type = object({
    vpc_id              = string
    public_subnet_ids   = list(string)
    public_cidrs        = list(string)
    private_subnet_ids  = list(string)
    private_cidrs       = list(string)
    isolated_subnet_ids = list(string)
  })
  default = null
}

variable "operators" {
  description = "Who may reach metrics, `/status` and administration (port 9090), each under a name, such as a VPN or Prometheus: a security group, or a network."
  type        = map(string)
  default     = {}
}

variable "jwt_secret_arn" {
  description = "The secret that signs the tokens of clients, by its whole ARN: of this account, and encrypted with the AWS managed key. Null: one is made, which is deleted when another one is given later, and can be restored for 30 days. The other one has what is in it as well then, so that clients' tokens are accepted until they expire."
  type        = string
  default     = null
  validation {
    condition     = try(split(":", var.jwt_secret_arn)[3] == var.region, true)
    error_message = "jwt_secret_arn is of another region than `region`: a task asks one region for all secrets. aws secretsmanager replicate-secret-to-regions makes a copy."
  }
}

variable "task" {
  description = "Size of a task and how many there are; `max_connections` is that of a task."
  type        = object({ cpu = number, memory = number, max_connections = number, count = object({ min = number, max = number }) })
  default     = { cpu = 2048, memory = 8192, max_connections = 25000, count = { min = 3, max = 12 } }
}

variable "database" {
  description = "Fewest and most Aurora capacity units of an instance."
  type        = object({ min = number, max = number })
  default     = { min = 2, max = 16 }
}

variable "node_type" {
  description = "Size of each node of the cache."
  type        = string
  default     = "cache.m7g.large"
}

variable "runbook_url" {
  description = "Where docs/runbook.md is found, for the descriptions of the alarms."
  type        = string
  default     = "docs/runbook.md"
}
