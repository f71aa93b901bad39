# A region without database and Redis: its network, its load balancer, and tasks that use those of the home region.

module "network" {
  source = "../../../modules/network"
  name   = var.name
  cidr   = var.cidr
}

module "edge" {
  source       = "../../../modules/edge"
  name         = var.name
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.public_subnet_ids
  target_cidrs = module.network.private_cidrs
  domain       = var.common.domain
  drain        = var.common.drain
  has_record   = false
}

module "service" {
  source           = "../../../modules/service"
  name             = var.name
  vpc_id           = module.network.vpc_id
  subnet_ids       = module.network.private_subnet_ids
  image            = var.common.image
  config           = var.common.config
  public_url       = var.common.public_url
  target_group_arn = module.edge.target_group_arn
  load_balancer = {
    security_group_id = module.edge.security_group_id
    cidrs             = module.network.public_cidrs
  }
  clients_are_hidden      = true
  shared_secrets          = var.home_region.secrets
  database                = var.home_region.database
  redis                   = var.home_region.redis
  tasks                   = var.common.tasks
  drain                   = var.common.drain
  previous_encryption_key = var.common.previous_encryption_key
  # Without these a task reaches neither database nor Redis, and a deployment fails, but for the first one.
  depends_on = [aws_route.to_home, aws_route.from_home]
}

module "observability" {
  source        = "../../../modules/observability"
  name          = var.name
  dimensions    = module.service.dimensions
  emails        = var.emails
  load_balancer = merge(module.edge.monitored, { targets_min = var.common.tasks.min })
  service       = module.service.monitored
}
