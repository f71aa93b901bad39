output "security_group_id" {
  description = "The group of the tasks, which database and cache let in."
  value       = aws_security_group.this.id
}

output "monitored" {
  description = "Cluster and service as their metrics name them, for alarms."
  value       = { cluster = aws_ecs_cluster.this.name, service = aws_ecs_service.this.name }
}

output "jwt_secret_arn" {
  description = "The secret that signs the tokens of clients."
  value       = local.jwt_secret_arn
}

output "operators_secret_arn" {
  description = "The secret that signs the tokens of operators."
  value       = aws_secretsmanager_secret.operators.arn
}

output "log_group" {
  description = "The log of all tasks."
  value       = aws_cloudwatch_log_group.this.name
}

output "dimensions" {
  description = "The dimensions of all metrics, for alarms and dashboard."
  value       = { service = var.name }
}
