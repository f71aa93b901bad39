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
