# The name by which clients reach the load balancer, and its certificate, which AWS renews.

# A certificate whose record is in another zone is waited for in vain, for an hour and more.
data "aws_route53_zone" "this" {
  zone_id = var.domain.zone_id

  lifecycle {
    postcondition {
      condition     = var.domain.name == trimsuffix(self.name, ".") || endswith(var.domain.name, ".${trimsuffix(self.name, ".")}")
      error_message = "domain.zone_id is the zone of ${self.name}, which ${var.domain.name} does not belong to."
    }
  }
}

resource "aws_acm_certificate" "this" {
  domain_name       = var.domain.name
  validation_method = "DNS"
  tags              = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  # One name has one record.
  validation = one(aws_acm_certificate.this.domain_validation_options)
}

resource "aws_route53_record" "validation" {
  zone_id         = var.domain.zone_id
  name            = local.validation.resource_record_name
  type            = local.validation.resource_record_type
  records         = [local.validation.resource_record_value]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [aws_route53_record.validation.fqdn]
}

resource "aws_route53_record" "this" {
  count   = var.has_record ? 1 : 0
  zone_id = var.domain.zone_id
  name    = var.domain.name
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
