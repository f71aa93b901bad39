# The password of the server's own role, which the migration task gives to it (role.sql of the module `service`).

data "aws_secretsmanager_random_password" "role" {
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "role" {
  name_prefix = "${var.name}-database-"
  description = "Password of the role ${var.role} in the database of ${var.name}"
  kms_key_id  = var.kms_key_arn
  tags        = var.tags
}

# Written once, when the secret is made; it is rotated in Secrets Manager (docs/aws.md).
resource "aws_secretsmanager_secret_version" "role" {
  secret_id                = aws_secretsmanager_secret.role.id
  secret_string_wo         = data.aws_secretsmanager_random_password.role.random_password
  secret_string_wo_version = 1
}
