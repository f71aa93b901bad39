# The server on ECS Fargate: tasks behind a target group, that scale by connections and by CPU, and drain when they stop.

data "aws_region" "current" {}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

locals {
  port          = 8080
  internal_port = 9090
  # As the Helm chart has it: ten seconds more than the drain, in which the server deregisters from the other nodes and sends its
  # last spans and log lines.
  stop_timeout = var.drain.delay + var.drain.timeout + var.drain.shutdown + 10
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = var.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.server.arn
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  desired_count                      = var.tasks.min
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 60
  enable_execute_command             = false
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = true
  tags                               = var.tags

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  alarms {
    alarm_names = [aws_cloudwatch_metric_alarm.deployment.alarm_name]
    enable      = true
    rollback    = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = var.target_group_arn
    container_name   = "server"
    container_port   = local.port
  }

  # A version serves after its tables are there, and a task starts with all of its secrets.
  depends_on = [
    terraform_data.migration,
    aws_iam_role_policy.task,
    aws_iam_role_policy.execution,
    aws_secretsmanager_secret_version.jwt,
    aws_secretsmanager_secret_version.operators,
    aws_secretsmanager_secret_version.encryption_key,
  ]

  lifecycle {
    # Scaling changes it.
    ignore_changes = [desired_count]

    # After a rollback the service is stable too, with the task definition before, and the provider reports a success.
    postcondition {
      condition     = self.task_definition == aws_ecs_task_definition.server.arn
      error_message = "The new tasks did not become healthy, and ECS has returned to the version before: the log group and `aws ecs describe-services` say why."
    }
  }
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-tasks-"
  description = "Tasks of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-tasks" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.this.id
  description                  = "Clients, through the load balancer alone, because a PROXY header of another could name any address"
  referenced_security_group_id = var.load_balancer.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_ingress_rule" "operators" {
  for_each                     = var.operators
  security_group_id            = aws_security_group.this.id
  description                  = "Operators and Prometheus: ${each.key}"
  referenced_security_group_id = strcontains(each.value, "/") ? null : each.value
  cidr_ipv4                    = strcontains(each.value, "/") ? each.value : null
  ip_protocol                  = "tcp"
  from_port                    = local.internal_port
  to_port                      = local.internal_port
}

# Database, Redis, AWS, identity providers whose keys are fetched, databases of tenants.
resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.this.id
  description       = "Everywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/realtime/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

# Lines of settings.sh about ten minutes in which something was not fetched, for an alarm: lines that begin with these words, because
# those of the server, which begin with a brace, have texts of clients in them. A metric of log lines that are no JSON has no dimensions,
# so its namespace is that of this service.
resource "aws_cloudwatch_log_metric_filter" "settings" {
  name           = "${var.name}-settings-not-fetched"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "[first = Settings, second = or, third = secrets, fourth = cannot, ...]"

  metric_transformation {
    name          = "settings_not_fetched"
    namespace     = "${var.namespace}/${var.name}"
    value         = "1"
    default_value = "0"
  }
}
