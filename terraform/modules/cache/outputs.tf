output "connection" {
  description = "What a server needs to connect: host, port, user, and the secret with the password."
  value = {
    host         = aws_elasticache_replication_group.this.primary_endpoint_address
    port         = local.port
    user         = aws_elasticache_user.server.user_name
    password_arn = aws_secretsmanager_secret.password.arn
  }
  # Before these a task would connect in vain.
  depends_on = [aws_secretsmanager_secret_version.password, aws_vpc_security_group_ingress_rule.client]
}

output "replication_group_id" {
  description = "Name of the cache, for its metrics."
  value       = aws_elasticache_replication_group.this.id
}

output "security_group_id" {
  description = "The group of the cache."
  value       = aws_security_group.this.id
}
