# The way from the tasks to database and Redis: a peering of the two networks, which AWS encrypts. Other subnets have no route.

resource "aws_vpc_peering_connection" "home_region" {
  vpc_id      = module.network.vpc_id
  peer_vpc_id = var.home_region.vpc_id
  peer_region = var.home_region.region
  tags        = { Name = var.name }

  lifecycle {
    precondition {
      condition     = var.cidr != var.home_region.cidr
      error_message = "cidr is another range than that of the home region, or the networks cannot be connected."
    }
  }
}

resource "aws_vpc_peering_connection_accepter" "home_region" {
  provider                  = aws.home_region
  vpc_peering_connection_id = aws_vpc_peering_connection.home_region.id
  auto_accept               = true
  tags                      = { Name = var.name }
}

resource "aws_route" "to_home" {
  count                     = length(module.network.private_route_table_ids)
  route_table_id            = module.network.private_route_table_ids[count.index]
  destination_cidr_block    = var.home_region.cidr
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.home_region.vpc_peering_connection_id
}

resource "aws_route" "from_home" {
  provider                  = aws.home_region
  count                     = length(module.network.private_cidrs)
  route_table_id            = var.home_region.isolated_route_table
  destination_cidr_block    = module.network.private_cidrs[count.index]
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.home_region.vpc_peering_connection_id
}
