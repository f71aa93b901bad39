# What the service refuses in config.toml, and of secrets.

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

run "a_previous_key_in_the_place_of_its_arn_is_refused" {
  command = plan
  variables {
    previous_encryption_key = { arn = "0123456789abcdef0123456789abcdef" }
  }
  expect_failures = [var.previous_encryption_key]
}

run "an_empty_file_is_refused" {
  command = plan
  variables {
    config = ""
  }
  expect_failures = [var.config]
}

run "a_secret_in_the_file_is_refused" {
  command = plan
  variables {
    config = "[auth]\njwt_secret = \"x\"\n"
  }
  expect_failures = [var.config]
}

run "a_secret_under_a_dotted_key_is_refused" {
  command = plan
  variables {
    config = "tenants.acme.auth.jwt_secret = \"x\"\n"
  }
  expect_failures = [var.config]
}

run "a_secret_in_an_inline_table_is_refused" {
  command = plan
  variables {
    config = "auth = { leeway = \"5s\", \"metrics_jwt_secret\" = \"x\" }\n"
  }
  expect_failures = [var.config]
}

run "a_password_in_an_address_is_refused" {
  command = plan
  variables {
    config = "[telemetry.push]\nurl = \"https://ann:secret@metrics.example\"\n"
  }
  expect_failures = [var.config]
}

run "a_secret_instead_of_its_name_is_refused" {
  command = plan
  variables {
    jwt_secret = { arn = "a-secret-of-more-than-thirty-two-bytes" }
  }
  expect_failures = [var.jwt_secret]
}

run "a_secret_without_the_end_of_its_arn_is_refused" {
  command = plan
  variables {
    jwt_secret = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:given" }
  }
  expect_failures = [var.jwt_secret]
}

run "a_secret_of_another_region_is_refused" {
  command = plan
  variables {
    jwt_secret = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:given-AbCdEf" }
  }
  expect_failures = [var.jwt_secret]
}

run "the_secret_that_would_be_deleted_is_refused" {
  command = plan
  variables {
    jwt_secret = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:example-jwt-202611302204567890000000a1-AbCdEf" }
  }
  expect_failures = [var.jwt_secret]
}

run "a_limit_per_address_while_clients_are_hidden_is_refused" {
  command = plan
  variables {
    clients_are_hidden = true
    config             = "[server]\nmax_connections_per_address = 100\n"
  }
  expect_failures = [var.clients_are_hidden]
}

run "another_secret_than_that_of_the_first_region_is_refused" {
  command = plan
  variables {
    jwt_secret     = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:given-AbCdEf" }
    shared_secrets = { jwt_secret_arn = "a", operators_secret_arn = "b", encryption_key_arn = "c" }
  }
  expect_failures = [var.shared_secrets]
}

run "a_password_in_the_query_of_an_address_is_refused" {
  command = plan
  variables {
    config = "[store]\nurl = \"postgres://user@host/database?sslmode=require&password=secret\"\n"
  }
  expect_failures = [var.config]
}

run "a_token_in_the_query_of_an_address_is_refused" {
  command = plan
  variables {
    config = "[telemetry.push]\nurl = \"https://metrics.example/import?token=abc\"\n"
  }
  expect_failures = [var.config]
}

run "a_key_that_signs_is_refused" {
  command = plan
  variables {
    config = "[auth]\njwks = '{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}'\n"
  }
  expect_failures = [var.config]
}

run "a_password_of_redis_is_refused" {
  command = plan
  variables {
    config = "[bus]\nredis_url = \"rediss://host\"\n"
  }
  expect_failures = [var.config]
}

run "headers_that_are_a_text_are_refused" {
  command = plan
  variables {
    config = "[telemetry.traces]\nheaders = \"authorization=secret\"\n"
  }
  expect_failures = [var.config]
}

run "a_secret_in_the_place_of_its_arn_is_refused" {
  command = plan
  variables {
    setting_secrets = { REALTIME__TELEMETRY__PUSH__AUTH = "Bearer secret" }
  }
  expect_failures = [var.setting_secrets]
}

run "the_name_of_a_key_in_the_place_of_its_variable_is_refused" {
  command = plan
  variables {
    setting_secrets = { "telemetry.push.auth" = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:push-AbCdEf" }
  }
  expect_failures = [var.setting_secrets]
}

run "a_previous_key_of_another_region_is_refused" {
  command = plan
  variables {
    previous_encryption_key = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:previous-AbCdEf" }
  }
  expect_failures = [var.previous_encryption_key]
}

run "every_secret_is_found_in_the_file" {
  command = plan

  assert {
    condition     = alltrue([for key in local.refused_keys.secrets : anytrue([for pattern in local.secrets_in_config : can(regex(pattern, "[table]\n${key} = [\"x\"]\n"))])])
    error_message = "The value of a setting that is a secret is accepted in config.toml."
  }
  assert {
    condition     = alltrue([for key in local.refused_keys.secret_texts : anytrue([for pattern in local.secrets_in_config : can(regex(pattern, "${key} = \"x\"\n"))]) && !anytrue([for pattern in local.secrets_in_config : can(regex(pattern, "${key} = { leeway = \"5s\" }\n"))])])
    error_message = "A secret text is accepted in config.toml, or a table of its name is not."
  }
}
