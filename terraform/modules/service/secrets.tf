# Secrets of the server that no other module has. Each is a file in the folder of the settings, because a variable cannot change
# while a task runs; a secret that signs tokens may have several lines, so that it can be rotated without an interruption.

locals {
  # Each comes from the service of another region, if there is one (`shared_secrets`), or is given, or is made here.
  jwt_secret_arn       = try(var.shared_secrets.jwt_secret_arn, var.jwt_secret.arn, one(aws_secretsmanager_secret.jwt[*].arn))
  operators_secret_arn = try(var.shared_secrets.operators_secret_arn, one(aws_secretsmanager_secret.operators[*].arn))
  encryption_key_arn   = try(var.shared_secrets.encryption_key_arn, one(aws_secretsmanager_secret.encryption_key[*].arn))
  # File below /run/realtime → the secret, and what the file has before and after it (settings.sh).
  secret_files = merge({
    jwt               = { arn = local.jwt_secret_arn, around = [] }
    operators         = { arn = local.operators_secret_arn, around = [] }
    encryption-key    = { arn = local.encryption_key_arn, around = [] }
    database-password = { arn = var.database.password_arn, around = [] }
    redis-url         = { arn = var.redis.password_arn, around = ["rediss://${var.redis.user}:", "@${var.redis.host}:${var.redis.port}"] }
    }, {
    for secret in var.previous_encryption_key[*] : "previous-encryption-key" => { arn = secret.arn, around = [] }
    }, {
    for name, arn in var.setting_secrets : lower(replace(name, "_", "-")) => { arn = arn, around = [] }
  })
}

data "aws_secretsmanager_random_password" "jwt" {
  password_length     = 64
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "jwt" {
  count       = var.jwt_secret == null && var.shared_secrets == null ? 1 : 0
  name_prefix = "${var.name}-jwt-"
  description = "Signs the tokens of clients of ${var.name}; one secret a line"
  kms_key_id  = var.kms_key_arn
  tags        = var.tags
}

resource "aws_secretsmanager_secret_version" "jwt" {
  count                    = var.jwt_secret == null && var.shared_secrets == null ? 1 : 0
  secret_id                = aws_secretsmanager_secret.jwt[0].id
  secret_string_wo         = data.aws_secretsmanager_random_password.jwt.random_password
  secret_string_wo_version = 1
}

data "aws_secretsmanager_random_password" "operators" {
  password_length     = 64
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "operators" {
  count       = var.shared_secrets == null ? 1 : 0
  name_prefix = "${var.name}-operators-"
  description = "Signs the tokens of operators of ${var.name}; one secret a line"
  kms_key_id  = var.kms_key_arn
  tags        = var.tags
}

resource "aws_secretsmanager_secret_version" "operators" {
  count                    = var.shared_secrets == null ? 1 : 0
  secret_id                = aws_secretsmanager_secret.operators[0].id
  secret_string_wo         = data.aws_secretsmanager_random_password.operators.random_password
  secret_string_wo_version = 1
}

# Exactly 32 bytes, as AES-256 has them.
data "aws_secretsmanager_random_password" "encryption_key" {
  password_length     = 32
  exclude_punctuation = true
}

# Without it the secrets of stored tenants cannot be read; so it can be restored for 30 days after it was deleted.
resource "aws_secretsmanager_secret" "encryption_key" {
  count                   = var.shared_secrets == null ? 1 : 0
  name_prefix             = "${var.name}-encryption-key-"
  description             = "Encrypts the secrets of stored tenants of ${var.name}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 30
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "encryption_key" {
  count                    = var.shared_secrets == null ? 1 : 0
  secret_id                = aws_secretsmanager_secret.encryption_key[0].id
  secret_string_wo         = data.aws_secretsmanager_random_password.encryption_key.random_password
  secret_string_wo_version = 1
}
