output "connection" {
  description = "What a server needs to connect: host, port, database, role, and the secret with the password of the role."
  value = {
    host         = aws_rds_cluster.this.endpoint
    port         = local.port
    database     = var.database_name
    role         = var.role
    password_arn = aws_secretsmanager_secret.role.arn
    # Only the migration task uses the owner.
    owner              = aws_rds_cluster.this.master_username
    owner_password_arn = one(aws_rds_cluster.this.master_user_secret).secret_arn
  }
  # Before these a task would connect in vain.
  depends_on = [
    aws_rds_cluster_instance.this,
    aws_secretsmanager_secret_version.role,
    aws_vpc_security_group_ingress_rule.client,
  ]
}

output "cluster_id" {
  description = "Name of the cluster, for its metrics."
  value       = aws_rds_cluster.this.cluster_identifier
}

output "security_group_id" {
  description = "The group of the database."
  value       = aws_security_group.this.id
}
