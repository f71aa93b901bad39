# Global Accelerator: two addresses that are the same everywhere, and lead clients into the network of AWS near them, to the nearest
# region that is healthy.
#
# Load balancers that terminate TLS see its addresses in the place of clients'. So the servers behind it have no limits per address
# (`clients_are_hidden` of the module `service`, without which a region is refused), and the name of the clients leads here (`has_record = false` of the module `edge`).

resource "aws_globalaccelerator_accelerator" "this" {
  name            = var.name
  ip_address_type = "IPV4"
  enabled         = true
  tags            = var.tags
}

resource "aws_globalaccelerator_listener" "tls" {
  accelerator_arn = aws_globalaccelerator_accelerator.this.arn
  protocol        = "TCP"
  # A client that connects again may be led to another server, which is what a drain is for.
  client_affinity = "NONE"

  port_range {
    from_port = 443
    to_port   = 443
  }
}

resource "aws_globalaccelerator_endpoint_group" "region" {
  for_each                = var.regions
  listener_arn            = aws_globalaccelerator_listener.tls.arn
  endpoint_group_region   = each.key
  traffic_dial_percentage = each.value.traffic_percent

  # The health is that of the load balancer, which checks its tasks.
  endpoint_configuration {
    endpoint_id                    = each.value.load_balancer_arn
    weight                         = 128
    client_ip_preservation_enabled = false
  }
}

resource "aws_route53_record" "this" {
  zone_id = var.domain.zone_id
  name    = var.domain.name
  type    = "A"

  alias {
    name                   = aws_globalaccelerator_accelerator.this.dns_name
    zone_id                = aws_globalaccelerator_accelerator.this.hosted_zone_id
    evaluate_target_health = false
  }
}
