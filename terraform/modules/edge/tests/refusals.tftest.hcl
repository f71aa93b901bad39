# What the module of the load balancer refuses.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name         = "example"
  vpc_id       = "vpc-1"
  subnet_ids   = ["subnet-1", "subnet-2"]
  target_cidrs = ["10.0.64.0/20", "10.0.80.0/20"]
  domain       = { name = "realtime.example.com", zone_id = "Z0123456789" }
}

run "a_name_with_a_hyphen_at_its_end_is_refused" {
  command = plan
  variables {
    name = "example-"
  }
  expect_failures = [var.name]
}

run "one_subnet_is_refused" {
  command = plan
  variables {
    subnet_ids = ["subnet-1"]
  }
  expect_failures = [var.subnet_ids]
}

run "targets_that_are_no_networks_are_refused" {
  command = plan
  variables {
    target_cidrs = ["10.0.0.0"]
  }
  expect_failures = [var.target_cidrs]
}

run "a_domain_with_a_scheme_is_refused" {
  command = plan
  variables {
    domain = { name = "wss://realtime.example.com", zone_id = "Z0123456789" }
  }
  expect_failures = [var.domain]
}

run "the_name_of_a_zone_is_refused" {
  command = plan
  variables {
    domain = { name = "realtime.example.com", zone_id = "example.com" }
  }
  expect_failures = [var.domain]
}

run "a_drain_that_is_over_too_early_is_refused" {
  command = plan
  variables {
    drain = { delay = 14, timeout = 60, shutdown = 5 }
  }
  expect_failures = [var.drain]
}

run "checks_that_are_too_frequent_are_refused" {
  command = plan
  variables {
    health_check = { interval = 2, unhealthy_threshold = 2 }
  }
  expect_failures = [var.health_check]
}

run "a_single_check_is_refused" {
  command = plan
  variables {
    health_check = { interval = 5, unhealthy_threshold = 1 }
  }
  expect_failures = [var.health_check]
}

run "a_deregistration_without_time_is_refused" {
  command = plan
  variables {
    deregistration_delay = 0
  }
  expect_failures = [var.deregistration_delay]
}

run "a_deregistration_that_delays_is_refused" {
  command = plan
  variables {
    deregistration_delay = 300
  }
  expect_failures = [var.deregistration_delay]
}

run "no_retention_is_refused" {
  command = plan
  variables {
    log_retention_days = 0
  }
  expect_failures = [var.log_retention_days]
}

run "a_name_that_a_certificate_cannot_have_is_refused" {
  command = plan
  variables {
    domain = { name = "a-name-that-is-far-too-long-for-a-certificate-of-acm-with-it.example.com", zone_id = "Z0123456789" }
  }
  expect_failures = [var.domain]
}

run "the_zone_of_another_domain_is_refused" {
  command = plan
  variables {
    domain = { name = "realtime.example.org", zone_id = "Z0123456789" }
  }
  expect_failures = [data.aws_route53_zone.this]
}
