output "target_group_arn" {
  description = "Where tasks are registered."
  value       = aws_lb_target_group.this.arn
  # ECS refuses a target group that no listener uses.
  depends_on = [aws_lb_listener.tls]
}

output "security_group_id" {
  description = "The group of the load balancer, from which tasks accept connections."
  value       = aws_security_group.this.id
}

output "endpoint" {
  description = "The address of clients."
  value       = "wss://${var.domain.name}/realtime/v1"
}

output "load_balancer_arn" {
  description = "The load balancer, for an accelerator in front of it."
  value       = aws_lb.this.arn
}

output "monitored" {
  description = "Load balancer and target group as their metrics name them, for alarms."
  value       = { load_balancer = aws_lb.this.arn_suffix, target_group = aws_lb_target_group.this.arn_suffix }
}
