output "security_group_id" {
  description = "The group of the tasks, from which database and cache accept connections."
  value       = aws_security_group.this.id
}

output "monitored" {
  description = "Cluster and service as their metrics name them, and the namespace of what is counted in their log, for alarms."
  value = {
    cluster       = aws_ecs_cluster.this.name
    service       = aws_ecs_service.this.name
    log_namespace = one(aws_cloudwatch_log_metric_filter.settings.metric_transformation).namespace
  }
}

output "jwt_secret_arn" {
  description = "The secret that signs the tokens of clients."
  value       = local.jwt_secret_arn
}

output "operators_secret_arn" {
  description = "The secret that signs the tokens of operators."
  value       = local.operators_secret_arn
}

output "log_group" {
  description = "The log of all tasks."
  value       = aws_cloudwatch_log_group.this.name
}

output "dimensions" {
  description = "The dimensions of all metrics, for alarms and dashboard."
  value       = { service = var.name }
}

output "secrets" {
  description = "The secrets, for services of other regions that use the same database and Redis."
  value = {
    jwt_secret_arn       = local.jwt_secret_arn
    operators_secret_arn = local.operators_secret_arn
    encryption_key_arn   = local.encryption_key_arn
  }
  # Tasks of a version start after its tables are there, in each region.
  depends_on = [terraform_data.migration]
}

output "clients_are_hidden" {
  description = "Whether limits per address are off, as an accelerator needs it."
  value       = var.clients_are_hidden
}
