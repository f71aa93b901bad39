# The cache: TLS, a password, a replica in another zone, and what is refused.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name       = "example"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1", "subnet-2"]
  clients    = { server = "sg-1" }
}

run "replication_group" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "The cache accepts connections without TLS."
  }
  assert {
    condition     = tobool(aws_elasticache_replication_group.this.at_rest_encryption_enabled)
    error_message = "What the cache stores is not encrypted."
  }
  assert {
    condition     = aws_elasticache_replication_group.this.multi_az_enabled && aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.num_cache_clusters == 2
    error_message = "Nothing takes over when the primary fails."
  }
  assert {
    condition     = anytrue([for each in aws_elasticache_parameter_group.this.parameter : each.name == "maxmemory-policy" && each.value == "noeviction"])
    error_message = "Presence could be evicted."
  }
  assert {
    condition     = aws_elasticache_user.server.no_password_required != true && aws_elasticache_user.server.passwords == null
    error_message = "The user has no password, or the resource keeps it in the state."
  }
  assert {
    condition     = aws_elasticache_user.server.engine == aws_elasticache_replication_group.this.engine && aws_elasticache_user_group.this.engine == aws_elasticache_replication_group.this.engine
    error_message = "The user is of another engine than the cache."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.client["server"].referenced_security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.client["server"].from_port == 6379
    error_message = "The server cannot connect."
  }
  assert {
    condition     = output.monitored.node_ids == ["example-001", "example-002"]
    error_message = "Alarms are about nodes of other names than ElastiCache gives them."
  }
}

run "tasks_of_another_region" {
  command = plan
  variables {
    client_cidrs = { other = "10.1.64.0/20" }
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.network["other"].cidr_ipv4 == "10.1.64.0/20"
    error_message = "The tasks of another region cannot connect."
  }
}

run "another_version" {
  command = plan
  variables {
    engine_version = "9.0"
  }
  assert {
    condition     = aws_elasticache_parameter_group.this.family == "valkey9" && aws_elasticache_replication_group.this.engine_version == "9.0"
    error_message = "The parameters are of another version than the cache."
  }
  assert {
    condition     = !tobool(aws_elasticache_replication_group.this.auto_minor_version_upgrade)
    error_message = "AWS installs another version, and the next plan replaces the cache."
  }
}

run "a_version_without_a_minor_one_is_refused" {
  command = plan
  variables {
    engine_version = "8"
  }
  expect_failures = [var.engine_version]
}

run "a_name_with_two_hyphens_is_refused" {
  command = plan
  variables {
    name = "real--time"
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

run "no_replica_is_refused" {
  command = plan
  variables {
    nodes = 1
  }
  expect_failures = [var.nodes]
}

run "a_type_of_another_service_is_refused" {
  command = plan
  variables {
    node_type = "m7g.large"
  }
  expect_failures = [var.node_type]
}

run "everyone_is_refused" {
  command = plan
  variables {
    client_cidrs = { all = "0.0.0.0/0" }
  }
  expect_failures = [var.client_cidrs]
}
