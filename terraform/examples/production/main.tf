# For production: a network that exists or one in three zones, a key of its own, alarms that are sent, and backups of five weeks.

locals {
  name = "realtime"
  network = var.network != null ? var.network : {
    vpc_id              = one(module.network[*].vpc_id)
    public_subnet_ids   = flatten(module.network[*].public_subnet_ids)
    public_cidrs        = flatten(module.network[*].public_cidrs)
    private_subnet_ids  = flatten(module.network[*].private_subnet_ids)
    private_cidrs       = flatten(module.network[*].private_cidrs)
    isolated_subnet_ids = flatten(module.network[*].isolated_subnet_ids)
  }
  # The load balancer waits longer than the server drains, and both have to mean the same drain.
  drain = { delay = 20, timeout = 60, shutdown = 5 }
}

module "registry" {
  source = "../../modules/registry"
  name   = "${local.name}-server"
  image  = var.image
}

module "network" {
  count  = var.network == null ? 1 : 0
  source = "../../modules/network"
  name   = local.name
  zones  = 3
}

module "database" {
  source       = "../../modules/database"
  name         = local.name
  vpc_id       = local.network.vpc_id
  subnet_ids   = local.network.isolated_subnet_ids
  clients      = { server = module.service.security_group_id }
  min_capacity = var.database.min
  max_capacity = var.database.max
  backup_days  = 35
  kms_key_arn  = aws_kms_key.this.arn
}

module "cache" {
  source      = "../../modules/cache"
  name        = local.name
  vpc_id      = local.network.vpc_id
  subnet_ids  = local.network.isolated_subnet_ids
  clients     = { server = module.service.security_group_id }
  node_type   = var.node_type
  kms_key_arn = aws_kms_key.this.arn
}

module "edge" {
  source             = "../../modules/edge"
  name               = local.name
  vpc_id             = local.network.vpc_id
  subnet_ids         = local.network.public_subnet_ids
  target_cidrs       = local.network.private_cidrs
  domain             = var.domain
  drain              = local.drain
  log_retention_days = 90
}

module "service" {
  source           = "../../modules/service"
  name             = local.name
  vpc_id           = local.network.vpc_id
  subnet_ids       = local.network.private_subnet_ids
  image            = var.image
  config           = file("${path.root}/config.toml")
  public_url       = "wss://${var.domain.name}"
  target_group_arn = module.edge.target_group_arn
  load_balancer = {
    security_group_id = module.edge.security_group_id
    cidrs             = local.network.public_cidrs
  }
  # Metrics, `/status` and administration are at a port that these alone reach.
  operators          = var.operators
  database           = module.database.connection
  redis              = module.cache.connection
  jwt_secret         = var.jwt_secret_arn == null ? null : { arn = var.jwt_secret_arn }
  cpu                = var.task.cpu
  memory             = var.task.memory
  max_connections    = var.task.max_connections
  tasks              = var.task.count
  drain              = local.drain
  kms_key_arn        = aws_kms_key.this.arn
  log_retention_days = 90
}

module "observability" {
  source        = "../../modules/observability"
  name          = local.name
  dimensions    = module.service.dimensions
  emails        = var.emails
  runbook_url   = var.runbook_url
  database      = module.database.monitored
  cache         = module.cache.monitored
  load_balancer = merge(module.edge.monitored, { targets_min = var.task.count.min })
  service       = module.service.monitored
}
