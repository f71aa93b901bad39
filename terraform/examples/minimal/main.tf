# The least that is sensible for a trial or a test environment: two tasks of half a processor, one database instance, one NAT.

locals {
  name  = "realtime"
  tasks = { min = 2, max = 2 }
}

module "registry" {
  source = "../../modules/registry"
  name   = "${local.name}-server"
  image  = var.image
}

module "network" {
  source       = "../../modules/network"
  name         = local.name
  nat_gateways = 1
}

module "database" {
  source              = "../../modules/database"
  name                = local.name
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.isolated_subnet_ids
  clients             = { server = module.service.security_group_id }
  instances           = 1
  min_capacity        = 0.5
  max_capacity        = 1
  backup_days         = 1
  deletion_protection = false
  log_retention_days  = 7
}

module "cache" {
  source     = "../../modules/cache"
  name       = local.name
  vpc_id     = module.network.vpc_id
  subnet_ids = module.network.isolated_subnet_ids
  clients    = { server = module.service.security_group_id }
  node_type  = "cache.t4g.micro"
}

module "edge" {
  source              = "../../modules/edge"
  name                = local.name
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.public_subnet_ids
  target_cidrs        = module.network.private_cidrs
  domain              = var.domain
  deletion_protection = false
  log_retention_days  = 7
}

module "service" {
  source           = "../../modules/service"
  name             = local.name
  vpc_id           = module.network.vpc_id
  subnet_ids       = module.network.private_subnet_ids
  image            = var.image
  config           = file("${path.root}/config.toml")
  public_url       = "wss://${var.domain.name}"
  target_group_arn = module.edge.target_group_arn
  load_balancer = {
    security_group_id = module.edge.security_group_id
    cidrs             = module.network.public_cidrs
  }
  database           = module.database.connection
  redis              = module.cache.connection
  cpu                = 512
  memory             = 1024
  max_connections    = 1000
  tasks              = local.tasks
  log_retention_days = 7
}

module "observability" {
  source        = "../../modules/observability"
  name          = local.name
  dimensions    = module.service.dimensions
  emails        = var.emails
  database      = module.database.monitored
  cache         = module.cache.monitored
  load_balancer = merge(module.edge.monitored, { targets_min = local.tasks.min })
  service       = module.service.monitored
}
