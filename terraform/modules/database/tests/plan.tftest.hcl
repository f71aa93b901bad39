# The database: what the server needs of it, what protects it.

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

run "cluster" {
  command = plan

  assert {
    condition     = anytrue([for each in aws_rds_cluster_parameter_group.this.parameter : each.name == "rds.logical_replication" && each.value == "1" && each.apply_method == "pending-reboot"])
    error_message = "Without logical replication there are no messages from SQL and no changes of tables."
  }
  assert {
    condition     = anytrue([for each in aws_rds_cluster_parameter_group.this.parameter : each.name == "rds.force_ssl" && each.value == "1"])
    error_message = "The database accepts connections without TLS."
  }
  assert {
    condition     = aws_rds_cluster_parameter_group.this.family == "aurora-postgresql16"
    error_message = "The parameters are of another version than the cluster."
  }
  assert {
    condition     = aws_rds_cluster.this.manage_master_user_password == true && aws_rds_cluster.this.master_password == null
    error_message = "RDS does not make and rotate the password of the owner."
  }
  assert {
    condition     = aws_rds_cluster.this.storage_encrypted && aws_rds_cluster.this.deletion_protection && !aws_rds_cluster.this.skip_final_snapshot
    error_message = "The database is not encrypted, or is deleted too easily."
  }
  assert {
    condition     = length(terraform_data.protection) == 1
    error_message = "A plan deletes the instances of a protected database."
  }
  assert {
    condition     = aws_rds_cluster.this.backup_retention_period == 14
    error_message = "Backups are not kept for two weeks."
  }
  assert {
    condition     = !aws_rds_cluster.this.allow_major_version_upgrade && !aws_rds_cluster.this.apply_immediately
    error_message = "A change interrupts connections although nothing has asked for it."
  }
  assert {
    condition     = length(aws_rds_cluster_instance.this) == 2 && alltrue([for each in aws_rds_cluster_instance.this : each.instance_class == "db.serverless" && each.publicly_accessible == false && each.promotion_tier == 0])
    error_message = "There is no second instance that could take over, or one is public."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.client["server"].referenced_security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.client["server"].from_port == 5432
    error_message = "The server cannot connect."
  }
  assert {
    condition     = aws_secretsmanager_secret_version.role.secret_string == null
    error_message = "The resource keeps the password of the role in the state."
  }
  assert {
    condition     = output.connection.owner_password_arn == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:owner"
    error_message = "The secret of the owner is not that of RDS."
  }
}

run "without_protection" {
  command = plan
  variables {
    deletion_protection = false
  }
  assert {
    condition     = length(terraform_data.protection) == 0 && !aws_rds_cluster.this.deletion_protection
    error_message = "It cannot be deleted, although it may be."
  }
}

run "a_key_of_its_own_encrypts_all_that_is_stored" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
  }
  assert {
    condition = toset(concat([for each in aws_rds_cluster_instance.this : each.performance_insights_kms_key_id], [
      aws_rds_cluster.this.kms_key_id, aws_rds_cluster.this.master_user_secret_kms_key_id, aws_cloudwatch_log_group.this.kms_key_id, aws_secretsmanager_secret.role.kms_key_id,
    ])) == toset([var.kms_key_arn])
    error_message = "Something is stored with another key."
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

run "connections" {
  command = plan
  variables {
    min_capacity = 1
    max_capacity = 16
  }
  assert {
    condition     = abs(output.monitored.connections_max - 3360) < 10
    error_message = "An instance of 16 units accepts 3,360 connections."
  }
}

run "connections_of_a_small_instance" {
  command = plan
  variables {
    max_capacity = 32
  }
  assert {
    condition     = output.monitored.connections_max == 2000
    error_message = "With half a unit as the fewest, an instance accepts at most 2,000 connections."
  }
}

run "certificates" {
  command = plan

  assert {
    condition     = length(regexall("-----BEGIN CERTIFICATE-----", output.connection.certificates)) == 3
    error_message = "The certificates are not the three of this region."
  }
}
