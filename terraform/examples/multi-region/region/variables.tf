variable "name" {
  description = "Name of everything in this region."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, which no other region has."
  type        = string
}

variable "common" {
  description = "What is the same in each region."
  type = object({
    image      = string
    config     = string
    domain     = object({ name = string, zone_id = string })
    drain      = object({ delay = number, timeout = number, shutdown = number })
    tasks      = object({ min = number, max = number })
    public_url = string
    # While the key of stored secrets is rotated.
    previous_encryption_key = optional(object({ arn = string }))
  })
}

variable "home_region" {
  description = "The home region: its network, and the outputs `connection` of database and cache and `secrets` of the service there."
  type = object({
    region               = string
    vpc_id               = string
    cidr                 = string
    isolated_route_table = string
    database = object({
      host               = string
      port               = number
      certificates       = string
      database           = string
      role               = string
      password_arn       = string
      owner              = string
      owner_password_arn = string
    })
    redis   = object({ host = string, port = number, user = string, password_arn = string })
    secrets = object({ jwt_secret_arn = string, operators_secret_arn = string, encryption_key_arn = string })
  })
}

variable "emails" {
  description = "Addresses that receive alarms of this region."
  type        = list(string)
}
