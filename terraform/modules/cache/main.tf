# ElastiCache for Valkey, through which the nodes exchange messages. One primary and its replicas under one address that follows
# a failover; not a cluster with shards, which the server does not use. Nothing in it outlives the nodes, so there are no backups.

locals {
  port  = 6379
  major = split(".", var.engine_version)[0]
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
  tags       = var.tags
}

resource "aws_elasticache_parameter_group" "this" {
  name   = "${var.name}-valkey${local.major}"
  family = "valkey${local.major}"
  tags   = var.tags

  # Presence has a lease; evicted earlier, clients would vanish from rooms. A full cache refuses instead, which is an alarm.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  # Another version has another family. The cache uses the old group until it has the new one.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Messages between the nodes of ${var.name}"
  engine                     = "valkey"
  engine_version             = var.engine_version
  node_type                  = var.node_type
  port                       = local.port
  num_cache_clusters         = var.nodes
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]
  multi_az_enabled           = true
  automatic_failover_enabled = true
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  apply_immediately          = true
  # A minor version that AWS installs differs from engine_version, and a lower version means another cache.
  auto_minor_version_upgrade = false
  tags                       = var.tags
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-cache-"
  description = "Who may connect to the cache of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-cache" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "client" {
  for_each                     = var.clients
  security_group_id            = aws_security_group.this.id
  description                  = "Valkey, from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

# A security group of another region cannot be named.
resource "aws_vpc_security_group_ingress_rule" "network" {
  for_each          = var.client_cidrs
  security_group_id = aws_security_group.this.id
  description       = "Valkey, from ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.port
  to_port           = local.port
}
