variable "region" {
  description = "Region of everything, such as `eu-central-1`."
  type        = string
}

variable "domain" {
  description = "The name of the server, and the id of the zone in Route 53 that it belongs to."
  type        = object({ name = string, zone_id = string })
}

variable "image" {
  description = "The image, with its version."
  type        = string
}

variable "emails" {
  description = "Addresses that receive alarms."
  type        = list(string)
  default     = []
}
