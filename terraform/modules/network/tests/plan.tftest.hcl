# The network: its subnets, and what is refused.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name = "example"
}

run "subnets" {
  command = plan

  assert {
    condition     = length(distinct(concat(aws_subnet.public[*].cidr_block, aws_subnet.private[*].cidr_block, aws_subnet.isolated[*].cidr_block))) == 6
    error_message = "Subnets share addresses."
  }
  assert {
    condition     = length(distinct(aws_subnet.private[*].availability_zone)) == 2
    error_message = "The private subnets are not in two zones."
  }
  assert {
    condition     = alltrue([for subnet in concat(aws_subnet.public, aws_subnet.private, aws_subnet.isolated) : subnet.map_public_ip_on_launch != true])
    error_message = "What is in a subnet gets a public address by itself."
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 2
    error_message = "A zone has no NAT of its own."
  }
}

run "zones" {
  command = plan

  assert {
    condition     = one(data.aws_availability_zones.available.filter).values == toset(["opt-in-not-required"])
    error_message = "A Local Zone could be one of the zones."
  }
}

run "one_nat_for_all_zones" {
  command = plan
  variables {
    zones        = 3
    nat_gateways = 1
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3
    error_message = "A zone has no way out, or a NAT of its own."
  }
}

run "a_nat_for_some_zones_is_refused" {
  command = plan
  variables {
    zones        = 3
    nat_gateways = 2
  }
  expect_failures = [var.nat_gateways]
}

run "the_smallest_network" {
  command = plan
  variables {
    cidr  = "10.1.0.0/22"
    zones = 3
  }
  assert {
    condition     = aws_subnet.isolated[2].cidr_block == "10.1.2.128/26"
    error_message = "The subnets of a /22 are a /26 each."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Example"
  }
  expect_failures = [var.name]
}

run "a_network_that_is_too_large_is_refused" {
  command = plan
  variables {
    cidr = "10.0.0.0/8"
  }
  expect_failures = [var.cidr]
}

run "an_address_instead_of_a_network_is_refused" {
  command = plan
  variables {
    cidr = "10.0.0.0"
  }
  expect_failures = [var.cidr]
}

run "one_zone_is_refused" {
  command = plan
  variables {
    zones = 1
  }
  expect_failures = [var.zones]
}

run "more_zones_than_the_region_has_are_refused" {
  command = plan
  variables {
    zones = 4
  }
  expect_failures = [data.aws_availability_zones.available]
}
