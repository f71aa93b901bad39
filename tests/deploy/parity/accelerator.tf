# The module `accelerator`, which the root does not call, with one region and one that is emptied. As in large.ts.

module "accelerator" {
  source = "./modules/accelerator"
  name   = "realtime"
  domain = var.domain
  regions = {
    eu-central-1 = {
      load_balancer_arn  = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/realtime/0123456789abcdef"
      clients_are_hidden = true
    }
    us-east-1 = {
      load_balancer_arn  = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/realtime/0123456789abcdef"
      clients_are_hidden = true
      traffic_percent    = 0
    }
  }
}
