output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Subnets of the load balancer."
  value       = aws_subnet.public[*].id
  # Before these nothing in them is reached.
  depends_on = [aws_route.internet, aws_route_table_association.public]
}

output "public_cidrs" {
  description = "Addresses of these subnets, from which the load balancer connects to the tasks."
  value       = aws_subnet.public[*].cidr_block
}

output "private_subnet_ids" {
  description = "Subnets of the tasks."
  value       = aws_subnet.private[*].id
  # Before these a task finds no image.
  depends_on = [aws_route.nat, aws_route_table_association.private, aws_route_table_association.public]
}

output "isolated_subnet_ids" {
  description = "Subnets of database and cache."
  value       = aws_subnet.isolated[*].id
}

output "private_cidrs" {
  description = "Addresses of these subnets, to which the load balancer connects."
  value       = aws_subnet.private[*].cidr_block
}

output "cidr" {
  description = "Addresses of the whole network."
  value       = aws_vpc.this.cidr_block
}

output "private_route_table_ids" {
  description = "Route tables of the tasks, for a route to another network."
  value       = aws_route_table.private[*].id
}

output "isolated_route_table_id" {
  description = "Route table of database and cache, for a route to another network."
  value       = aws_route_table.isolated.id
}
