# One cluster in several regions: the home region has the database and Redis, the others have tasks that use them over a peering.
# Clients of all regions connect to two addresses, which lead them to the nearest one.

provider "aws" {
  alias  = "us-east-1"
  region = "us-east-1"

  default_tags {
    tags = { application = local.name }
  }
}

locals {
  name  = "realtime"
  tasks = { min = 2, max = 8 }
  drain = { delay = 20, timeout = 60, shutdown = 5 }
  # What is the same in each region, the home region included.
  common = {
    image      = var.image
    config     = file("${path.root}/config.toml")
    domain     = var.domain
    drain      = local.drain
    tasks      = local.tasks
    public_url = "wss://${var.domain.name}"
    # While the key of stored secrets is rotated, { arn = … } of the one before.
    previous_encryption_key = null
  }
}

module "registry" {
  source = "../../modules/registry"
  name   = "${local.name}-server"
  image  = var.image
}

module "network" {
  source = "../../modules/network"
  name   = local.name
  cidr   = "10.0.0.0/16"
}

module "database" {
  source       = "../../modules/database"
  name         = local.name
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.isolated_subnet_ids
  clients      = { server = module.service.security_group_id }
  client_cidrs = module.us_east_1.task_cidrs
  min_capacity = 1
  max_capacity = 8
}

module "cache" {
  source       = "../../modules/cache"
  name         = local.name
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.isolated_subnet_ids
  clients      = { server = module.service.security_group_id }
  client_cidrs = module.us_east_1.task_cidrs
  node_type    = "cache.m7g.large"
}

module "edge" {
  source       = "../../modules/edge"
  name         = local.name
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.public_subnet_ids
  target_cidrs = module.network.private_cidrs
  domain       = local.common.domain
  drain        = local.common.drain
  # The accelerator has the name.
  has_record = false
}

module "service" {
  source           = "../../modules/service"
  name             = local.name
  vpc_id           = module.network.vpc_id
  subnet_ids       = module.network.private_subnet_ids
  image            = local.common.image
  config           = local.common.config
  public_url       = local.common.public_url
  target_group_arn = module.edge.target_group_arn
  load_balancer = {
    security_group_id = module.edge.security_group_id
    cidrs             = module.network.public_cidrs
  }
  clients_are_hidden      = true
  database                = module.database.connection
  redis                   = module.cache.connection
  tasks                   = local.common.tasks
  drain                   = local.common.drain
  previous_encryption_key = local.common.previous_encryption_key
}

module "observability" {
  source        = "../../modules/observability"
  name          = local.name
  dimensions    = module.service.dimensions
  emails        = var.emails
  database      = module.database.monitored
  cache         = module.cache.monitored
  load_balancer = merge(module.edge.monitored, { targets_min = local.common.tasks.min })
  service       = module.service.monitored
}
