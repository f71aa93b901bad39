output "task_cidrs" {
  description = "Networks of the tasks, from which database and cache accept connections."
  value       = { for index, cidr in module.network.private_cidrs : "${var.name}-${index}" => cidr }
}

output "load_balancer_arn" {
  description = "The load balancer, for the accelerator."
  value       = module.edge.load_balancer_arn
}

output "clients_are_hidden" {
  description = "Whether limits per address are off, as the accelerator needs it."
  value       = module.service.clients_are_hidden
}

output "dashboard" {
  description = "Address of the dashboard."
  value       = module.observability.dashboard
}
