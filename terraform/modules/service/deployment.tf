# A task that reaches neither its store nor Redis is ready all the same, because one that ran before goes on without them. This alarm is
# how a deployment of such tasks fails. It is of this module, because the service has to have it from the first deployment on; those of
# the module observability notify.
resource "aws_cloudwatch_metric_alarm" "deployment" {
  alarm_name          = "${var.name}-deployment"
  alarm_description   = "A task does not reach its store or Redis: a deployment is rolled back. docs/aws.md#step-by-step"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = 2
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  tags                = merge(var.tags, { severity = "critical" })

  metric_query {
    id          = "store"
    return_data = false

    metric {
      namespace   = var.namespace
      metric_name = "realtime_store_connected"
      stat        = "Minimum"
      period      = 60
      dimensions  = { service = var.name }
    }
  }

  metric_query {
    id          = "bus"
    return_data = false

    metric {
      namespace   = var.namespace
      metric_name = "realtime_bus_connected"
      stat        = "Minimum"
      period      = 60
      dimensions  = { service = var.name }
    }
  }

  metric_query {
    id          = "value"
    expression  = "MIN([FILL(store, 1), FILL(bus, 1)])"
    return_data = true
  }
}
