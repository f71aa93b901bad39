# The root: the modules fit together in each size.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  region = "eu-central-1"
  domain = { name = "realtime.example.com", zone_id = "Z0123456789" }
  image  = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server:0.1.0"
}

run "small" {
  command = plan

  assert {
    condition     = output.endpoint == "wss://realtime.example.com/realtime/v1"
    error_message = "Clients have another address."
  }
}

run "medium" {
  command = plan
  variables {
    size = "medium"
  }
}

run "large" {
  command = plan
  variables {
    size = "large"
  }
}

run "another_size_is_refused" {
  command = plan
  variables {
    size = "huge"
  }
  expect_failures = [var.size]
}

run "a_zone_of_a_region_is_refused" {
  command = plan
  variables {
    region = "eu-central-1a"
  }
  expect_failures = [var.region]
}

run "a_secret_of_another_region_is_refused" {
  command = plan
  variables {
    jwt_secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:given-AbCdEf"
  }
  expect_failures = [var.jwt_secret_arn]
}
