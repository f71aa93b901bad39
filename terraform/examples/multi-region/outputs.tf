output "endpoint" {
  description = "The address of clients in all regions."
  value       = module.accelerator.endpoint
}

output "repository" {
  description = "The repository of the image."
  value       = module.registry.url
}

output "push" {
  description = "The commands that build the image and push it, anywhere in a clone of this project."
  value       = module.registry.push
}

output "token" {
  description = "The command that makes a token for a client."
  value       = "JWT_SECRET=$(aws secretsmanager get-secret-value --region ${var.region} --secret-id ${module.service.jwt_secret_arn} --query SecretString --output text | grep . | tail -n 1) docker run --rm --env JWT_SECRET ${var.image} token --sub ann"
}

output "operator_token" {
  description = "The command that makes a token for an operator, for `/status` and administration at the internal port, which `operators` of the module `service` opens."
  value       = "API_JWT_SECRET=$(aws secretsmanager get-secret-value --region ${var.region} --secret-id ${module.service.operators_secret_arn} --query SecretString --output text | grep . | tail -n 1) docker run --rm --env API_JWT_SECRET ${var.image} token --operator --sub $USER"
}

output "alarms" {
  description = "The topic of the alarms. They are sent to no address until there is a subscription: aws sns subscribe --protocol email."
  value       = module.observability.topic_arn
}

output "log_group" {
  description = "The log of all tasks: aws logs tail."
  value       = module.service.log_group
}

output "secrets" {
  description = "The secrets by what they are for, by their ARNs: `put-secret-value` rotates one."
  value = {
    jwt            = module.service.jwt_secret_arn
    operators      = module.service.operators_secret_arn
    encryption_key = module.service.secrets.encryption_key_arn
    database       = module.database.connection.password_arn
    redis          = module.cache.connection.password_arn
  }
}

output "addresses" {
  description = "The two addresses that the name leads to, for firewalls that allow single addresses."
  value       = module.accelerator.addresses
}

output "dashboards" {
  description = "Addresses of the dashboards."
  value       = [module.observability.dashboard, module.us_east_1.dashboard]
}
