# The Network Load Balancer: it terminates TLS, and sends the addresses of clients to the tasks in PROXY headers.
#
# A task that stops answers /readyz with 503 and disconnects its clients one after the other. By default a load balancer would cut
# all of them at once as soon as it notices; three attributes of the target group prevent that.

locals {
  # The longest time from SIGTERM until a task has ended.
  drain_seconds = var.drain.delay + var.drain.timeout + var.drain.shutdown
}

resource "aws_lb" "this" {
  name                             = var.name
  load_balancer_type               = "network"
  internal                         = false
  subnets                          = var.subnet_ids
  security_groups                  = [aws_security_group.this.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.deletion_protection
  tags                             = var.tags

  access_logs {
    enabled = true
    bucket  = aws_s3_bucket.logs.id
  }

  depends_on = [aws_s3_bucket_policy.logs]
}

# The idle time-out of a TLS listener is 350 seconds and cannot be changed. The server pings more often (module `service`).
resource "aws_lb_listener" "tls" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "TLS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = aws_acm_certificate_validation.this.certificate_arn
  # WebSocket handshakes are HTTP/1.1.
  alpn_policy = "HTTP1Only"
  tags        = var.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_lb_target_group" "this" {
  name              = var.name
  vpc_id            = var.vpc_id
  target_type       = "ip"
  protocol          = "TCP"
  port              = var.port
  proxy_protocol_v2 = true
  # The header has the address; with the address of the client as the source as well, two connections of a client through two
  # zones could have the same four numbers.
  preserve_client_ip = false
  # ECS deregisters a task first, waits as long as this, and sends SIGTERM then. So it is the time for the load balancer to stop
  # sending new clients, and not the time of the drain, which begins only after it.
  deregistration_delay   = var.deregistration_delay
  connection_termination = false
  tags                   = var.tags

  target_health_state {
    enable_unhealthy_connection_termination = false
    unhealthy_draining_interval             = local.drain_seconds + 60
  }

  # On the port of the clients, because the checks begin with a PROXY header as well, which the internal port does not accept.
  health_check {
    protocol            = "HTTP"
    path                = "/readyz"
    port                = "traffic-port"
    matcher             = "200"
    interval            = var.health_check.interval
    timeout             = 4
    healthy_threshold   = 2
    unhealthy_threshold = var.health_check.unhealthy_threshold
  }
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-edge-"
  description = "The load balancer of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-edge" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id = aws_security_group.this.id
  description       = "Clients, from everywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  for_each          = toset(var.target_cidrs)
  security_group_id = aws_security_group.this.id
  description       = "Tasks in ${each.value}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
}
