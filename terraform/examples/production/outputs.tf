output "endpoint" {
  description = "The address of clients."
  value       = module.edge.endpoint
}

output "push" {
  description = "The commands that build the image and push it, in a clone of this project."
  value       = module.registry.push
}

output "jwt_secret_arn" {
  description = "The secret that signs the tokens of clients."
  value       = module.service.jwt_secret_arn
}

output "dashboard" {
  description = "Address of the dashboard."
  value       = module.observability.dashboard
}

output "operators_secret_arn" {
  description = "The secret that signs the tokens of operators."
  value       = module.service.operators_secret_arn
}

output "settings_log" {
  description = "The log of all tasks, where an edit of config.toml leaves a line of each."
  value       = module.service.log_group
}
