# The other regions. For a third one copy the provider and this call with another range of addresses, and add it to `client_cidrs` of
# database and cache, and to the accelerator.

module "us_east_1" {
  source    = "./region"
  providers = { aws = aws.us-east-1, aws.home_region = aws }
  # Dashboards have one name in all regions, so each region has another.
  name   = "${local.name}-us"
  cidr   = "10.1.0.0/16"
  common = local.common
  emails = var.emails
  home_region = {
    region               = var.region
    vpc_id               = module.network.vpc_id
    cidr                 = module.network.cidr
    isolated_route_table = module.network.isolated_route_table_id
    database             = module.database.connection
    redis                = module.cache.connection
    secrets              = module.service.secrets
  }
}

module "accelerator" {
  source = "../../modules/accelerator"
  name   = local.name
  domain = var.domain
  regions = {
    (var.region) = { load_balancer_arn = module.edge.load_balancer_arn, clients_are_hidden = module.service.clients_are_hidden }
    us-east-1    = { load_balancer_arn = module.us_east_1.load_balancer_arn, clients_are_hidden = module.us_east_1.clients_are_hidden }
  }
}
