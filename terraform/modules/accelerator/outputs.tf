output "addresses" {
  description = "The two addresses, for firewalls that allow single addresses."
  value       = flatten(aws_globalaccelerator_accelerator.this.ip_sets[*].ip_addresses)
}

output "endpoint" {
  description = "The address of clients."
  value       = "wss://${var.domain.name}/realtime/v1"
}
