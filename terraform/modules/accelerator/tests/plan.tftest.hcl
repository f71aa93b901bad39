# The accelerator: where it leads clients, and what is refused.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name   = "example"
  domain = { name = "realtime.example.com", zone_id = "Z0123456789" }
  regions = {
    eu-central-1 = { load_balancer_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/example/0123456789abcdef", clients_are_hidden = true }
    us-east-1    = { load_balancer_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/example/0123456789abcdef", clients_are_hidden = true, traffic_percent = 0 }
  }
}

run "regions" {
  command = plan

  assert {
    condition     = one(aws_globalaccelerator_listener.tls.port_range).from_port == 443 && aws_globalaccelerator_listener.tls.protocol == "TCP"
    error_message = "Clients connect to port 443."
  }
  assert {
    condition     = alltrue([for region, group in aws_globalaccelerator_endpoint_group.region : one(group.endpoint_configuration).endpoint_id == var.regions[region].load_balancer_arn])
    error_message = "A region leads to the load balancer of another one."
  }
  assert {
    condition     = alltrue([for group in aws_globalaccelerator_endpoint_group.region : one(group.endpoint_configuration).client_ip_preservation_enabled == false])
    error_message = "A load balancer with a TLS listener cannot preserve the addresses of clients."
  }
  assert {
    condition     = aws_globalaccelerator_endpoint_group.region["us-east-1"].traffic_dial_percentage == 0 && aws_globalaccelerator_endpoint_group.region["eu-central-1"].traffic_dial_percentage == 100
    error_message = "A region that is to be empty receives clients."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Example"
  }
  expect_failures = [var.name]
}

run "the_name_of_a_zone_is_refused" {
  command = plan
  variables {
    domain = { name = "realtime.example.com", zone_id = "example.com" }
  }
  expect_failures = [var.domain]
}

run "no_region_is_refused" {
  command = plan
  variables {
    regions = {}
  }
  expect_failures = [var.regions]
}

run "only_empty_regions_are_refused" {
  command = plan
  variables {
    regions = { us-east-1 = { load_balancer_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/example/1", clients_are_hidden = true, traffic_percent = 0 } }
  }
  expect_failures = [var.regions]
}

run "more_than_all_clients_is_refused" {
  command = plan
  variables {
    regions = { us-east-1 = { load_balancer_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/example/1", clients_are_hidden = true, traffic_percent = 101 } }
  }
  expect_failures = [var.regions]
}

run "limits_per_address_are_refused" {
  command = plan
  variables {
    regions = { us-east-1 = { load_balancer_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/example/1", clients_are_hidden = false } }
  }
  expect_failures = [var.regions]
}

run "a_zone_in_the_place_of_a_region_is_refused" {
  command = plan
  variables {
    regions = { us-east-1a = { load_balancer_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/example/1", clients_are_hidden = true } }
  }
  expect_failures = [var.regions]
}
