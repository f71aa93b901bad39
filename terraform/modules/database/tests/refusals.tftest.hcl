# What the module of the database refuses.

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

run "a_cluster_that_pauses_is_refused" {
  command = plan
  variables {
    min_capacity = 0
  }
  expect_failures = [var.min_capacity]
}

run "a_maximum_below_one_unit_is_refused" {
  command = plan
  variables {
    max_capacity = 0.5
  }
  expect_failures = [var.max_capacity]
}

run "an_old_version_is_refused" {
  command = plan
  variables {
    engine_version = "15.13"
  }
  expect_failures = [var.engine_version]
}

run "a_role_of_clients_is_refused" {
  command = plan
  variables {
    role = "authenticated"
  }
  expect_failures = [var.role]
}

run "a_database_name_with_a_hyphen_is_refused" {
  command = plan
  variables {
    database_name = "real-time"
  }
  expect_failures = [var.database_name]
}

run "no_instance_is_refused" {
  command = plan
  variables {
    instances = 0
  }
  expect_failures = [var.instances]
}

run "a_cluster_without_backups_is_refused" {
  command = plan
  variables {
    backup_days = 0
  }
  expect_failures = [var.backup_days]
}

run "a_snapshot_without_a_name_of_its_own_is_refused" {
  command = plan
  variables {
    final_snapshot_suffix = ""
  }
  expect_failures = [var.final_snapshot_suffix]
}

run "a_retention_that_does_not_exist_is_refused" {
  command = plan
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}

run "everyone_is_refused" {
  command = plan
  variables {
    client_cidrs = { all = "0.0.0.0/0" }
  }
  expect_failures = [var.client_cidrs]
}

run "a_region_without_certificates_is_refused" {
  command = plan
  override_data {
    target = data.aws_region.current
    values = { region = "xx-new-1" }
  }
  expect_failures = [output.connection]
}

run "an_address_in_the_place_of_certificates_is_refused" {
  command = plan
  variables {
    certificates = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
  }
  expect_failures = [var.certificates]
}
