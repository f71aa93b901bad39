# The load balancer: a task that stops keeps its clients until it disconnects them itself.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name         = "example"
  vpc_id       = "vpc-1"
  subnet_ids   = ["subnet-1", "subnet-2"]
  target_cidrs = ["10.0.64.0/20", "10.0.80.0/20"]
  domain       = { name = "realtime.example.com", zone_id = "Z0123456789" }
}

run "target_group" {
  command = plan

  assert {
    condition     = one(aws_lb_target_group.this.target_health_state).enable_unhealthy_connection_termination == false
    error_message = "The load balancer cuts all clients of a task as soon as it drains."
  }
  assert {
    condition     = one(aws_lb_target_group.this.target_health_state).unhealthy_draining_interval > 20 + 60 + 5
    error_message = "The load balancer does not wait as long as a task drains."
  }
  assert {
    condition     = tobool(aws_lb_target_group.this.connection_termination) == false
    error_message = "The load balancer cuts the clients of a task that was deregistered."
  }
  assert {
    condition     = tonumber(aws_lb_target_group.this.deregistration_delay) == 30
    error_message = "ECS sends SIGTERM after the deregistration delay: half a minute, in which new clients cease."
  }
  assert {
    condition     = aws_lb_target_group.this.proxy_protocol_v2 == true && tobool(aws_lb_target_group.this.preserve_client_ip) == false
    error_message = "Tasks do not receive the addresses of clients in PROXY headers."
  }
  assert {
    condition     = aws_lb_target_group.this.protocol == "TCP" && aws_lb_target_group.this.target_type == "ip" && aws_lb_target_group.this.port == 8080
    error_message = "Tasks of Fargate are addresses, and speak HTTP on port 8080."
  }
  assert {
    condition     = one(aws_lb_target_group.this.health_check).path == "/readyz" && one(aws_lb_target_group.this.health_check).protocol == "HTTP" && one(aws_lb_target_group.this.health_check).port == "traffic-port"
    error_message = "A check begins with a PROXY header, which only the port of the clients accepts, and asks /readyz, which is 503 while a task drains."
  }
}

run "listener" {
  command = plan

  assert {
    condition     = aws_lb_listener.tls.protocol == "TLS" && aws_lb_listener.tls.port == 443
    error_message = "Clients connect without TLS."
  }
  assert {
    condition     = contains(["ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-TLS13-1-3-2021-06"], aws_lb_listener.tls.ssl_policy)
    error_message = "The listener accepts versions before TLS 1.2, or its policy does not exist."
  }
  assert {
    condition     = aws_lb_listener.tls.alpn_policy == "HTTP1Only"
    error_message = "A client could choose HTTP/2, in which there is no WebSocket handshake."
  }
  assert {
    condition     = aws_lb.this.load_balancer_type == "network" && aws_lb.this.enable_cross_zone_load_balancing && aws_lb.this.enable_deletion_protection
    error_message = "The load balancer is of another kind, keeps to its zone, or is deleted too easily."
  }
  assert {
    condition     = one(aws_lb.this.access_logs).enabled
    error_message = "There are no access logs."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.tasks : rule.from_port == 8080 && rule.to_port == 8080])
    error_message = "The load balancer reaches another port than that of the clients."
  }
}

run "behind_an_accelerator_the_name_leads_elsewhere" {
  command = plan
  variables {
    has_record = false
  }
  assert {
    condition     = length(aws_route53_record.this) == 0
    error_message = "The name leads to the load balancer, and to the accelerator."
  }
}
