# The server's user and its password. No other user exists, so nothing connects without a password.

data "aws_secretsmanager_random_password" "user" {
  password_length = 64
  # It is part of an address.
  exclude_punctuation = true
}

resource "aws_elasticache_user" "server" {
  user_id   = var.name
  user_name = "realtime"
  engine    = "valkey"
  # A node ends connections of its own that are left over (CLIENT KILL); nothing else of what operators do.
  access_string = "on ~* &* +@all -@admin +client|kill"
  # A value that only this and the secret below receive, when they are made.
  passwords_wo         = data.aws_secretsmanager_random_password.user.random_password
  passwords_wo_version = 1
  tags                 = var.tags
  # So that only the value is written after it.
  depends_on = [aws_secretsmanager_secret.password]
}

resource "aws_elasticache_user_group" "this" {
  engine        = "valkey"
  user_group_id = var.name
  user_ids      = [aws_elasticache_user.server.user_id]
  tags          = var.tags
}

resource "aws_secretsmanager_secret" "password" {
  name_prefix = "${var.name}-cache-"
  description = "Password of the user in the cache of ${var.name}"
  kms_key_id  = var.kms_key_arn
  tags        = var.tags
}

resource "aws_secretsmanager_secret_version" "password" {
  secret_id                = aws_secretsmanager_secret.password.id
  secret_string_wo         = data.aws_secretsmanager_random_password.user.random_password
  secret_string_wo_version = 1
  # Directly after the user, and not after the cache, which takes ten minutes: an apply that fails in between would draw another
  # password for this one.
  depends_on = [aws_elasticache_user.server]
}
