# Realtime Server on AWS: all of its modules, with the variables that nearly every deployment sets. For other needs (a network that exists, other sizes, several
# regions) call the modules from a root of your own; this one is the example.

locals {
  name = "realtime"

  # The same that the module `cost` computes with.
  size = jsondecode(file("${path.module}/sizes.json"))[var.size]

  # The load balancer waits longer than the server drains, and both have to mean the same drain.
  drain = { delay = 20, timeout = 60, shutdown = 5 }
}

module "registry" {
  source = "./modules/registry"
  name   = "${local.name}-server"
  image  = var.image
}

module "network" {
  source = "./modules/network"
  name   = local.name
}

module "database" {
  source       = "./modules/database"
  name         = local.name
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.isolated_subnet_ids
  clients      = { server = module.service.security_group_id }
  min_capacity = local.size.database.min
  max_capacity = local.size.database.max
}

module "cache" {
  source     = "./modules/cache"
  name       = local.name
  vpc_id     = module.network.vpc_id
  subnet_ids = module.network.isolated_subnet_ids
  clients    = { server = module.service.security_group_id }
  node_type  = local.size.node_type
}

module "edge" {
  source       = "./modules/edge"
  name         = local.name
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.public_subnet_ids
  target_cidrs = module.network.private_cidrs
  domain       = var.domain
  drain        = local.drain
}

module "service" {
  source           = "./modules/service"
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
  operators       = var.operators
  database        = module.database.connection
  redis           = module.cache.connection
  jwt_secret      = var.jwt_secret_arn == null ? null : { arn = var.jwt_secret_arn }
  cpu             = local.size.task.cpu
  memory          = local.size.task.memory
  max_connections = local.size.task.max_connections
  tasks           = local.size.task.count
  drain           = local.drain
}

module "observability" {
  source        = "./modules/observability"
  name          = local.name
  dimensions    = module.service.dimensions
  database      = module.database.monitored
  cache         = module.cache.monitored
  load_balancer = merge(module.edge.monitored, { targets_min = local.size.task.count.min })
  service       = module.service.monitored
}
