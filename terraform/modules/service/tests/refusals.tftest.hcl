# What the service refuses.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name             = "example"
  vpc_id           = "vpc-1"
  subnet_ids       = ["subnet-1", "subnet-2"]
  image            = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server:0.1.0"
  config           = "[limits]\n"
  public_url       = "wss://realtime.example.com"
  target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/example/0123456789abcdef"
  load_balancer    = { security_group_id = "sg-1", cidrs = ["10.0.0.0/20", "10.0.16.0/20"] }
  redis = {
    host         = "redis.example.com"
    port         = 6379
    user         = "realtime"
    password_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:redis"
  }
  database = {
    host               = "database.example.com"
    port               = 5432
    certificates       = "-----BEGIN CERTIFICATE-----"
    database           = "realtime"
    role               = "realtime"
    password_arn       = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:role"
    owner              = "postgres"
    owner_password_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:owner"
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Example"
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

run "everyone_as_operators_is_refused" {
  command = plan
  variables {
    operators = { everyone = "0.0.0.0/0" }
  }
  expect_failures = [var.operators]
}

run "an_address_without_its_prefix_as_operators_is_refused" {
  command = plan
  variables {
    operators = { vpn = "10.1.64.7" }
  }
  expect_failures = [var.operators]
}

run "the_latest_image_is_refused" {
  command = plan
  variables {
    image = "realtime-server:latest"
  }
  expect_failures = [var.image]
}

run "an_image_without_a_version_is_refused" {
  command = plan
  variables {
    image = "registry.example.com:5000/realtime-server"
  }
  expect_failures = [var.image]
}

run "a_public_address_without_tls_is_refused" {
  command = plan
  variables {
    public_url = "ws://realtime.example.com"
  }
  expect_failures = [var.public_url]
}

run "proxy_headers_from_nowhere_are_refused" {
  command = plan
  variables {
    load_balancer = { security_group_id = "sg-1", cidrs = [] }
  }
  expect_failures = [var.load_balancer]
}

run "a_pair_that_fargate_does_not_have_is_refused" {
  command = plan
  variables {
    memory = 1024
  }
  expect_failures = [var.memory]
}

run "a_single_task_is_refused" {
  command = plan
  variables {
    tasks = { min = 1, max = 2 }
  }
  expect_failures = [var.tasks]
}

run "more_connections_than_the_load_balancer_has_are_refused" {
  command = plan
  variables {
    max_connections = 50001
  }
  expect_failures = [var.max_connections]
}

run "a_drain_that_fargate_cuts_off_is_refused" {
  command = plan
  variables {
    drain = { delay = 20, timeout = 85, shutdown = 5 }
  }
  expect_failures = [var.drain]
}

run "a_drain_without_a_delay_is_refused" {
  command = plan
  variables {
    drain = { delay = 0, timeout = 60, shutdown = 5 }
  }
  expect_failures = [var.drain]
}

run "pings_that_the_load_balancer_does_not_wait_for_are_refused" {
  command = plan
  variables {
    ping_interval = 350
  }
  expect_failures = [var.ping_interval]
}

run "a_namespace_of_aws_is_refused" {
  command = plan
  variables {
    namespace = "AWS/ECS"
  }
  expect_failures = [var.namespace]
}

run "fetching_all_the_time_is_refused" {
  command = plan
  variables {
    settings_interval = 1
  }
  expect_failures = [var.settings_interval]
}

run "a_retention_that_does_not_exist_is_refused" {
  command = plan
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}

run "the_latest_image_of_settings_is_refused" {
  command = plan
  variables {
    settings_image = "registry.example.com/settings:latest"
  }
  expect_failures = [var.settings_image]
}

run "the_latest_image_of_psql_is_refused" {
  command = plan
  variables {
    psql_image = "registry.example.com/psql:latest"
  }
  expect_failures = [var.psql_image]
}
