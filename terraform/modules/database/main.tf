# Aurora PostgreSQL, Serverless v2: the store of tenants, and the database of the default tenant.
#
# The password of the owner is made and rotated by RDS; only the migration task reads it. The server has a role of its own.

data "aws_region" "current" {}

locals {
  port  = 5432
  major = split(".", var.engine_version)[0]
  # As AWS publishes them: docs/aws.md, «The database».
  file         = "${path.module}/certificates/${data.aws_region.current.region}.pem"
  certificates = var.certificates != null ? var.certificates : fileexists(local.file) ? file(local.file) : null
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
  tags       = var.tags
}

resource "aws_rds_cluster_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = "aurora-postgresql${local.major}"
  tags        = var.tags

  # Connections without TLS are refused.
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  # Messages from SQL and changes of tables are read from the write-ahead log.
  parameter {
    name         = "rds.logical_replication"
    value        = "1"
    apply_method = "pending-reboot"
  }

  # Another version has another family. Instances use the old group until they have the new one.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_rds_cluster" "this" {
  cluster_identifier              = var.name
  engine                          = "aurora-postgresql"
  engine_mode                     = "provisioned"
  engine_version                  = var.engine_version
  allow_major_version_upgrade     = var.allow_major_version_upgrade
  apply_immediately               = var.apply_immediately
  port                            = local.port
  database_name                   = var.database_name
  master_username                 = "postgres"
  manage_master_user_password     = true
  master_user_secret_kms_key_id   = var.kms_key_arn
  db_subnet_group_name            = aws_db_subnet_group.this.name
  vpc_security_group_ids          = [aws_security_group.this.id]
  db_cluster_parameter_group_name = aws_rds_cluster_parameter_group.this.name
  storage_encrypted               = true
  kms_key_id                      = var.kms_key_arn
  backup_retention_period         = var.backup_days
  copy_tags_to_snapshot           = true
  deletion_protection             = var.deletion_protection
  skip_final_snapshot             = false
  final_snapshot_identifier       = "${var.name}-${var.final_snapshot_suffix}"
  enabled_cloudwatch_logs_exports = ["postgresql"]
  tags                            = var.tags
  depends_on                      = [aws_cloudwatch_log_group.this]

  serverlessv2_scaling_configuration {
    min_capacity = var.min_capacity
    max_capacity = var.max_capacity
  }
}

# RDS refuses to delete a protected cluster only after Terraform has deleted its instances, and with them what depends on the database.
# So a plan that deletes the cluster, or replaces it, is refused: this would be deleted, or replaced, with it.
resource "terraform_data" "protection" {
  count            = var.deletion_protection ? 1 : 0
  triggers_replace = [aws_rds_cluster.this.id]

  lifecycle {
    prevent_destroy = true
  }
}

# The first one writes; another one takes over when it fails. They have the version of the cluster, which alone is upgraded.
resource "aws_rds_cluster_instance" "this" {
  count                           = var.instances
  identifier                      = "${var.name}-${count.index}"
  cluster_identifier              = aws_rds_cluster.this.id
  engine                          = aws_rds_cluster.this.engine
  instance_class                  = "db.serverless"
  publicly_accessible             = false
  auto_minor_version_upgrade      = true
  apply_immediately               = var.apply_immediately
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  copy_tags_to_snapshot           = true
  # Those with the same value as the writer are the first to take over.
  promotion_tier = 0
  tags           = var.tags
}

# Made here, because RDS would make one that keeps everything forever.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/rds/cluster/${var.name}/postgresql"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-database-"
  description = "Who may connect to the database of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-database" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "client" {
  for_each                     = var.clients
  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL, from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

# A security group of another region cannot be named.
resource "aws_vpc_security_group_ingress_rule" "network" {
  for_each          = var.client_cidrs
  security_group_id = aws_security_group.this.id
  description       = "PostgreSQL, from ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.port
  to_port           = local.port
}
