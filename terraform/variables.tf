variable "region" {
  description = "Region of everything, such as `eu-central-1`."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is the name of a region, such as eu-central-1."
  }
}

variable "domain" {
  description = "The name of the server, and the id of the zone in Route 53 that it belongs to: `{ name = \"realtime.example.com\", zone_id = \"Z…\" }`."
  type        = object({ name = string, zone_id = string })
}

variable "image" {
  description = "The image, with its version: the output `repository`, a colon and what it was pushed as."
  type        = string
}

variable "jwt_secret_arn" {
  description = "The secret in Secrets Manager that signs the tokens of clients, one a line, by its whole ARN: of this account, and encrypted with the AWS managed key. Null: one is made, which is deleted when another one is given later, and can be restored for 30 days. The other one has what is in it as well then, so that clients' tokens are accepted until they expire."
  type        = string
  default     = null
  validation {
    condition     = try(split(":", var.jwt_secret_arn)[3] == var.region, true)
    error_message = "jwt_secret_arn is of another region than `region`: a task asks one region for all secrets. aws secretsmanager replicate-secret-to-regions makes a copy."
  }
}

variable "size" {
  description = "`small` for up to 12,000 connections, `medium` for up to 78,000, `large` for up to 288,000, with room for a task that fails."
  type        = string
  default     = "small"
  validation {
    condition     = contains(["small", "medium", "large"], var.size)
    error_message = "size is small, medium or large."
  }
}

variable "operators" {
  description = "Who may reach `/status`, metrics and administration, at port 9090 of each task, each under a name: a security group of this network (`{ vpn = \"sg-…\" }`), or a network (`10.1.64.0/20`). By default no one."
  type        = map(string)
  default     = {}
}
