variable "name" {
  description = "Name of the repository."
  type        = string
  default     = "realtime-server"
  validation {
    condition     = can(regex("^[a-z][a-z0-9]*([._/-][a-z0-9]+)*$", var.name))
    error_message = "name has small letters and digits, with single dots, hyphens, underscores or slashes between them."
  }
}

variable "image" {
  description = "The image of the tasks, whose tag is what `push` gives the new one. Null: `VERSION` stands for it."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that can have them."
  type        = map(string)
  default     = {}
}
