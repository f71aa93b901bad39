# Variables of config.toml and of secrets.

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
