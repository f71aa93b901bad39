output "endpoint" {
  description = "The address of clients in all regions."
  value       = module.accelerator.endpoint
}

output "addresses" {
  description = "The two addresses that the name leads to, for firewalls that have to know them."
  value       = module.accelerator.addresses
}

output "push" {
  description = "The commands that build the image and push it, in a clone of this project."
  value       = module.registry.push
}

output "jwt_secret_arn" {
  description = "The secret that signs the tokens of clients in all regions."
  value       = module.service.jwt_secret_arn
}

output "dashboards" {
  description = "Addresses of the dashboards."
  value       = [module.observability.dashboard, module.us_east_1.dashboard]
}
