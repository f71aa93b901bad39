output "security_group_id" {
  description = "The group of the tasks, which database and cache let in."
  value       = aws_security_group.this.id
}

output "cluster" {
  description = "Name of the cluster, and of the service in it."
  value       = aws_ecs_cluster.this.name
}

output "jwt_secret_arn" {
  description = "The secret that signs the tokens of clients."
  value       = local.jwt_secret_arn
}

output "operators_secret_arn" {
  description = "The secret that signs the tokens of operators."
  value       = aws_secretsmanager_secret.operators.arn
}

output "settings_bucket" {
  description = "The bucket of config.toml, with its earlier versions."
  value       = aws_s3_bucket.settings.id
}

output "log_group" {
  description = "The log of all tasks."
  value       = aws_cloudwatch_log_group.this.name
}

output "dimensions" {
  description = "The dimensions of all metrics, for alarms and dashboard."
  value       = { service = var.name }
}
