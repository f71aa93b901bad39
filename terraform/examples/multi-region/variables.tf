variable "region" {
  description = "The home region, which has database and Redis, such as `eu-central-1`."
  type        = string
  validation {
    condition     = var.region != "us-east-1"
    error_message = "region is another one than us-east-1, which is the second region here (regions.tf)."
  }
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
