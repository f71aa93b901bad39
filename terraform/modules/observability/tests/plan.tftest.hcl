# Alarms and dashboard: every condition of the file becomes an alarm, and what is refused.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name       = "example"
  dimensions = { service = "example" }
}

run "alarms" {
  command = plan

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset([for alarm in jsondecode(file("../../../infra/monitoring/cloudwatch-alarms.json")).alarms : alarm.alert if try(alarm.requires, "") != "tls"])
    error_message = "An alarm is missing. TLS ends at the load balancer, so those about the server's own are left out."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length([for query in alarm.metric_query : query if query.return_data]) == 1])
    error_message = "An alarm compares more than one value, or none."
  }
  assert {
    condition = alltrue(flatten([for alarm in aws_cloudwatch_metric_alarm.this : [
      for query in alarm.metric_query : [for metric in query.metric : metric.namespace == "Realtime" && metric.dimensions["service"] == "example"]
    ]]))
    error_message = "A metric has another namespace or other dimensions than the server sends."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_actions) == 1 && length(alarm.ok_actions) == 1])
    error_message = "An alarm notifies of nothing."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["RealtimeAbsent"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.this["RealtimeJoinsFail"].datapoints_to_alarm == 10
    error_message = "An alarm is not as the file has it."
  }
}

run "without_databases_of_tenants" {
  command = plan
  variables {
    tenant_databases = false
  }
  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "RealtimeChangesBehind") && contains(keys(aws_cloudwatch_metric_alarm.this), "RealtimeBusDown")
    error_message = "Alarms about databases are those that are left out."
  }
}

run "resources" {
  command = plan
  variables {
    database      = { cluster_id = "example", connections_max = 1000 }
    cache         = { node_ids = ["example-001", "example-002"] }
    load_balancer = { load_balancer = "net/example/1", target_group = "targetgroup/example/1", targets_min = 3 }
    service       = { cluster = "example", service = "example", log_namespace = "Realtime/example" }
  }

  assert {
    condition = setsubtract(keys(aws_cloudwatch_metric_alarm.this), keys(local.alarms)) == toset([
      "DatabaseSlotBehind", "DatabaseCapacityShort", "DatabaseStorageShort", "DatabaseConnectionsShort",
      "CacheMemoryShort", "CacheBusy", "CacheEvicts", "CacheReplicaBehind",
      "TargetsUnhealthy", "TargetsFew", "TasksMissing", "SettingsNotFetched", "TasksMemoryShort",
    ])
    error_message = "An alarm of a resource is missing."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["DatabaseConnectionsShort"].threshold == 800 && aws_cloudwatch_metric_alarm.this["TargetsFew"].threshold == 3
    error_message = "A threshold does not follow from the size of the resource."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["TargetsFew"].treat_missing_data == "breaching"
    error_message = "A load balancer without any target is no alarm."
  }
  assert {
    condition     = toset(flatten([for query in aws_cloudwatch_metric_alarm.this["CacheMemoryShort"].metric_query : [for metric in query.metric : metric.dimensions.CacheClusterId]])) == toset(["example-001", "example-002"])
    error_message = "A node of the cache has no alarm."
  }
  assert {
    condition     = one([for query in aws_cloudwatch_metric_alarm.this["CacheMemoryShort"].metric_query : query.expression if query.return_data]) == "MAX([node0, node1])"
    error_message = "The alarm is about another value than the highest of the nodes."
  }
  assert {
    condition     = alltrue([for alarm in local.resource_alarms : contains(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[*].properties.title, alarm.description)])
    error_message = "The dashboard has no graph of an alarm."
  }
}

run "other_thresholds" {
  command = plan
  variables {
    database   = { cluster_id = "example", connections_max = 1000 }
    thresholds = { slot_bytes = 1000000000 }
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["DatabaseSlotBehind"].threshold == 1000000000 && aws_cloudwatch_metric_alarm.this["DatabaseCapacityShort"].threshold == 90
    error_message = "A threshold is not the one that was given, or another one was lost."
  }
  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "CacheBusy")
    error_message = "There is an alarm of a resource that is not there."
  }
}

run "more_than_everything_is_refused" {
  command = plan
  variables {
    thresholds = { cache_memory_percent = 100 }
  }
  expect_failures = [var.thresholds]
}

run "dashboard" {
  command = plan

  assert {
    condition = alltrue(flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [
      for metric in widget.properties.metrics : metric[0] == "Realtime" && metric[2] == "service" && metric[3] == "example"
    ]]))
    error_message = "A line has another namespace or other dimensions than the server sends."
  }
  assert {
    condition     = length(distinct([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : "${widget.x} ${widget.y}"])) == length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets)
    error_message = "Graphs cover each other."
  }
}

run "the_topic_has_a_key_that_alarms_may_use" {
  command = plan

  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id != "alias/aws/sns" && aws_kms_key.alarms.enable_key_rotation
    error_message = "With the AWS managed key for topics alarms notify of nothing."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Example"
  }
  expect_failures = [var.name]
}

run "a_file_without_alarms_is_refused" {
  command = plan
  variables {
    alarms_file = "../../config.toml"
  }
  expect_failures = [var.alarms_file]
}

run "a_namespace_of_aws_is_refused" {
  command = plan
  variables {
    namespace = "AWS/ECS"
  }
  expect_failures = [var.namespace]
}

run "an_address_without_a_host_is_refused" {
  command = plan
  variables {
    emails = ["operators"]
  }
  expect_failures = [var.emails]
}

run "too_many_dimensions_are_refused" {
  command = plan
  variables {
    dimensions = { for index in range(21) : "d${index}" => "x" }
  }
  expect_failures = [var.dimensions]
}

