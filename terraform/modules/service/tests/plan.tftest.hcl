# The service: how tasks stop, what they may do, and what they have.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name             = "example"
  vpc_id           = "vpc-1"
  subnet_ids       = ["subnet-1", "subnet-2"]
  image            = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server:0.1.0"
  config           = "[limits]\n"
  public_url       = "wss://realtime.example.com"
  target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/example/0123456789abcdef"
  load_balancer    = { security_group_id = "sg-1", cidrs = ["10.0.0.0/20", "10.0.16.0/20"] }
  redis = {
    host         = "redis.example.com"
    port         = 6379
    user         = "realtime"
    password_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:redis"
  }
  database = {
    host               = "database.example.com"
    port               = 5432
    certificates       = "-----BEGIN CERTIFICATE-----"
    database           = "realtime"
    role               = "realtime"
    password_arn       = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:role"
    owner              = "postgres"
    owner_password_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:owner"
  }
}

run "stop" {
  command = plan

  assert {
    condition     = jsondecode(aws_ecs_task_definition.server.container_definitions)[0].stopTimeout > 20 + 60 + 5 && jsondecode(aws_ecs_task_definition.server.container_definitions)[0].stopTimeout < 120
    error_message = "A task is ended before it has drained, or is given more time than Fargate has."
  }
  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100 && aws_ecs_service.this.deployment_maximum_percent == 200
    error_message = "A deployment stops tasks before others are there."
  }
  assert {
    condition     = one(aws_ecs_service.this.deployment_circuit_breaker).enable && one(aws_ecs_service.this.deployment_circuit_breaker).rollback
    error_message = "A version that does not start is not rolled back."
  }
  assert {
    condition     = one(aws_ecs_service.this.alarms).enable && one(aws_ecs_service.this.alarms).rollback && one(aws_ecs_service.this.alarms).alarm_names == toset(["example-deployment"])
    error_message = "A version that reaches neither database nor Redis is not rolled back."
  }
  assert {
    condition     = toset([for each in aws_cloudwatch_metric_alarm.deployment.metric_query : one(each.metric).metric_name if length(each.metric) > 0]) == toset(["realtime_store_connected", "realtime_bus_connected"]) && aws_cloudwatch_metric_alarm.deployment.evaluation_periods * 60 <= 120
    error_message = "A deployment does not notice what its tasks do not reach, or not before the old ones have ended."
  }
  assert {
    condition     = aws_ecs_task_definition.server.skip_destroy
    error_message = "The task definition that a rollback returns to is deregistered before the service has changed."
  }
  assert {
    condition     = aws_ecs_service.this.wait_for_steady_state
    error_message = "An apply succeeds before the tasks do."
  }
}

run "containers" {
  command = plan

  assert {
    condition     = alltrue([for each in concat(jsondecode(aws_ecs_task_definition.server.container_definitions), jsondecode(aws_ecs_task_definition.migration[0].container_definitions)) : each.readonlyRootFilesystem && !each.privileged && each.linuxParameters.capabilities.drop == ["ALL"]])
    error_message = "A container can write to its root, or has capabilities."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.server.container_definitions)[0].user == "10001:10001" && aws_ecs_service.this.enable_execute_command == false
    error_message = "The server is root, or can be entered."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.server.container_definitions)[0].dependsOn == [{ containerName = "settings", condition = "HEALTHY" }]
    error_message = "The server starts before its settings are there."
  }
  assert {
    condition     = !contains(keys(jsondecode(aws_ecs_task_definition.server.container_definitions)[0]), "secrets")
    error_message = "A secret of the server is injected, and cannot be rotated while it runs."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.server.container_definitions)[0].mountPoints[0].readOnly
    error_message = "The server can change its own settings."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.migration[0].container_definitions)[1].dependsOn == [{ containerName = "role", condition = "SUCCESS" }]
    error_message = "Tables are made before there is a role."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.server.container_definitions)[1].restartPolicy == { enabled = true, restartAttemptPeriod = 60 }
    error_message = "What fetches settings is not started again when it ends soon after its start."
  }
}

run "what_is_not_fetched_is_counted" {
  command = plan

  assert {
    condition     = startswith(aws_cloudwatch_log_metric_filter.settings.pattern, "[first = Settings,") && strcontains(jsondecode(aws_ecs_task_definition.server.container_definitions)[1].command[0], "echo \"${join(" ", flatten(regexall("= (\\w+)", aws_cloudwatch_log_metric_filter.settings.pattern)))} ")
    error_message = "Lines are counted that settings.sh does not write."
  }
  assert {
    condition     = output.monitored.log_namespace == "Realtime/example"
    error_message = "Services share what is counted in their logs."
  }
}

run "rotation" {
  command = plan
  variables {
    previous_encryption_key = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:previous-AbCdEf" }
  }

  assert {
    condition     = { for each in jsondecode(aws_ecs_task_definition.server.container_definitions)[0].environment : each.name => each.value }["REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY_FILE"] == "/run/realtime/previous-encryption-key"
    error_message = "The server does not read what the previous key has encrypted."
  }
  assert {
    condition     = contains(split("\n", { for each in jsondecode(aws_ecs_task_definition.server.container_definitions)[1].environment : each.name => each.value }["SECRETS"]), "previous-encryption-key arn:aws:secretsmanager:eu-central-1:123456789012:secret:previous-AbCdEf")
    error_message = "The previous key is not fetched."
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.migration[0].container_definitions)[1].secrets, { name = "REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY", valueFrom = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:previous-AbCdEf" })
    error_message = "`store rekey` does not have the previous key."
  }
}

run "without_rotation" {
  command = plan

  assert {
    condition     = !strcontains(aws_ecs_task_definition.server.container_definitions, "previous") && !strcontains(aws_ecs_task_definition.server.container_definitions, "PREVIOUS") && !strcontains(aws_ecs_task_definition.migration[0].container_definitions, "PREVIOUS")
    error_message = "A previous key is expected that was not given."
  }
  assert {
    # There is time for a request that fails.
    condition     = 2 * tonumber({ for each in jsondecode(aws_ecs_task_definition.server.container_definitions)[1].environment : each.name => each.value }["INTERVAL"]) <= 60
    error_message = "A rotated password takes more than a minute to reach running tasks."
  }
}

run "network" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.referenced_security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.clients.from_port == 8080 && aws_vpc_security_group_ingress_rule.clients.to_port == 8080
    error_message = "Others than the load balancer reach the port of the clients."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.operators) == 0
    error_message = "The internal port is open, and was not asked for."
  }
  assert {
    condition     = one(aws_ecs_service.this.network_configuration).assign_public_ip == false
    error_message = "Tasks have public addresses."
  }
}

run "operators" {
  command = plan
  variables {
    operators = { vpn = "sg-2", prometheus = "10.1.64.0/20" }
  }

  assert {
    condition = alltrue([
      for name, source in { vpn = ["sg-2", null], prometheus = [null, "10.1.64.0/20"] } :
      aws_vpc_security_group_ingress_rule.operators[name].referenced_security_group_id == source[0] && aws_vpc_security_group_ingress_rule.operators[name].cidr_ipv4 == source[1]
    ])
    error_message = "Others than the operators reach the internal port."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.operators : rule.from_port == 9090 && rule.to_port == 9090])
    error_message = "Operators reach another port."
  }
}

run "secrets_of_settings" {
  command = plan
  variables {
    setting_secrets = { REALTIME__TELEMETRY__PUSH__AUTH = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:push-AbCdEf" }
  }

  assert {
    condition     = { for each in jsondecode(aws_ecs_task_definition.server.container_definitions)[0].environment : each.name => each.value }["REALTIME__TELEMETRY__PUSH__AUTH_FILE"] == "/run/realtime/realtime--telemetry--push--auth"
    error_message = "The server does not read the secret of a setting."
  }
  assert {
    condition     = local.secret_files["realtime--telemetry--push--auth"].arn == var.setting_secrets.REALTIME__TELEMETRY__PUSH__AUTH
    error_message = "The secret of a setting is not fetched."
  }
}

run "the_key_of_stored_secrets" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret.encryption_key[0].recovery_window_in_days == 30
    error_message = "The key that encrypts stored secrets is deleted at once."
  }
}

run "scaling" {
  command = plan

  assert {
    condition     = one(aws_appautoscaling_policy.connections.target_tracking_scaling_policy_configuration).target_value == 9830
    error_message = "Scaling does not leave room for the clients of a task that fails."
  }
  assert {
    condition     = one(one(aws_appautoscaling_policy.connections.target_tracking_scaling_policy_configuration).customized_metric_specification).metric_name == "phoenix_connections_active"
    error_message = "Scaling follows another metric."
  }
  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 2
    error_message = "A task could be alone."
  }
}

run "a_secret_is_made_unless_one_is_given" {
  command = plan

  assert {
    condition     = length(aws_secretsmanager_secret.jwt) == 1
    error_message = "There is no secret for the tokens of clients."
  }
}

run "a_secret_that_is_given_is_used" {
  command = plan
  variables {
    jwt_secret = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:given-AbCdEf" }
  }
  assert {
    condition     = length(aws_secretsmanager_secret.jwt) == 0 && output.jwt_secret_arn == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:given-AbCdEf"
    error_message = "Another secret is used."
  }
}

run "secrets_have_keys_of_their_own" {
  command = plan
  variables {
    kms_key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/tasks"
    secret_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/database"]
  }
  assert {
    condition = alltrue([for document in [data.aws_iam_policy_document.task, data.aws_iam_policy_document.migration] :
      one([for each in document.statement : each.resources if each.sid == "Keys"]) == toset(concat([var.kms_key_arn], var.secret_kms_key_arns))
    ])
    error_message = "A task cannot decrypt one of its secrets."
  }
}

run "limits_per_address_are_off_while_clients_are_hidden" {
  command = plan
  variables {
    clients_are_hidden = true
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.server.container_definitions)[0].environment, { name = "REALTIME__SERVER__UNLIMITED_ADDRESSES", value = "0.0.0.0/0" })
    error_message = "All clients together have the limits of one address."
  }
}

run "a_second_region_uses_the_secrets_of_the_first" {
  command = plan
  variables {
    shared_secrets = {
      jwt_secret_arn       = "arn:aws:secretsmanager:us-east-1:123456789012:secret:jwt"
      operators_secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:operators"
      encryption_key_arn   = "arn:aws:secretsmanager:us-east-1:123456789012:secret:key"
    }
  }
  assert {
    condition     = length(aws_secretsmanager_secret.jwt) + length(aws_secretsmanager_secret.operators) + length(aws_secretsmanager_secret.encryption_key) == 0
    error_message = "Nodes of one cluster have different secrets."
  }
  assert {
    condition     = length(terraform_data.migration) + length(aws_iam_role.migration) == 0
    error_message = "Two regions migrate one database."
  }
  assert {
    condition     = output.secrets == var.shared_secrets && local.secret_files["encryption-key"].arn == var.shared_secrets.encryption_key_arn
    error_message = "The tasks have other secrets than those of the first region."
  }
}
