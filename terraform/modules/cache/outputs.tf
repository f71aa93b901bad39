output "connection" {
  description = "What a server needs to connect: host, port, user, and the secret with the password."
  value = {
    host         = aws_elasticache_replication_group.this.primary_endpoint_address
    port         = local.port
    user         = aws_elasticache_user.server.user_name
    password_arn = aws_secretsmanager_secret.password.arn
  }
  # Before these a task would connect in vain.
  depends_on = [
    aws_secretsmanager_secret_version.password,
    aws_vpc_security_group_ingress_rule.client,
    aws_vpc_security_group_ingress_rule.network,
  ]
}

output "monitored" {
  description = "What alarms need of the cache: the names of its nodes, which stay when the primary changes."
  value = {
    node_ids = [for number in range(1, var.nodes + 1) : format("%s-%03d", aws_elasticache_replication_group.this.replication_group_id, number)]
  }
}
