variable "name" {
  description = "Name of the accelerator."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name)) && !endswith(var.name, "-")
    error_message = "name has 1 to 20 small letters, digits and hyphens, begins with a letter, and does not end with a hyphen."
  }
}

variable "domain" {
  description = "The name of the server, for which each load balancer has a certificate, and the id of its zone in Route 53."
  type        = object({ name = string, zone_id = string })
  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain.name)) && can(regex("^Z[A-Z0-9]+$", var.domain.zone_id))
    error_message = "domain is a whole name in small letters and the id of a hosted zone, such as { name = \"realtime.example.com\", zone_id = \"Z0123456789\" }."
  }
}

variable "regions" {
  description = "Of each region: the load balancer (output `load_balancer_arn` of the module `edge`), whether limits per address are off (output `clients_are_hidden` of the module `service`), and the percentage of its clients that it receives; 0 empties a region."
  type = map(object({
    load_balancer_arn  = string
    clients_are_hidden = bool
    traffic_percent    = optional(number, 100)
  }))
  validation {
    condition     = length(var.regions) > 0 && alltrue([for region in keys(var.regions) : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", region))])
    error_message = "regions has at least one region, by its name, such as eu-central-1."
  }
  validation {
    condition     = alltrue([for region in values(var.regions) : region.clients_are_hidden])
    error_message = "clients_are_hidden is true for the service of each region: behind an accelerator all clients have the addresses of the accelerator, and a limit per address would refuse most of them."
  }
  validation {
    condition     = alltrue([for region in values(var.regions) : region.traffic_percent >= 0 && region.traffic_percent <= 100])
    error_message = "traffic_percent is from 0 to 100."
  }
  validation {
    condition     = anytrue([for region in values(var.regions) : region.traffic_percent > 0])
    error_message = "traffic_percent of one region is above 0, so that clients reach something."
  }
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
