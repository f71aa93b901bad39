variable "name" {
  description = "Name of everything that the module makes, such as `realtime`."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "name has 1 to 20 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "cidr" {
  description = "Addresses of the network. A /16 leaves 4,096 for each subnet."
  type        = string
  default     = "10.0.0.0/16"
  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "cidr is a network of IPv4 from /16 to /22, such as 10.0.0.0/16: AWS has no larger one, and a smaller one has no place for the subnets."
  }
}

variable "zones" {
  description = "Availability zones that are used."
  type        = number
  default     = 2
  validation {
    condition     = contains([2, 3, 4], var.zones)
    error_message = "zones is 2, 3 or 4: database, cache and server each need a second zone to fail over to."
  }
}

variable "nat_gateways" {
  description = "NAT gateways: one in each zone, or 1 for all, which costs less, and without whose zone tasks reach nothing outside. Null: one in each zone."
  type        = number
  default     = null
  validation {
    condition     = var.nat_gateways == null || var.nat_gateways == 1 || var.nat_gateways == var.zones
    error_message = "nat_gateways is 1, or as many as zones."
  }
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
