# The graphs of infra/monitoring/cloudwatch-dashboard.json, and one for each alarm of a resource, side by side.

data "aws_region" "current" {}

locals {
  graphs = jsondecode(file("${path.module}/../../../infra/monitoring/cloudwatch-dashboard.json")).graphs

  widgets = concat(
    [for graph in local.graphs : {
      title = graph.title
      lines = [for line in graph.lines : { namespace = var.namespace, name = line[0], statistic = line[1], dimensions = var.dimensions }]
    }],
    [for alarm in local.resource_alarms : { title = alarm.description, lines = alarm.metrics }]
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for index, widget in local.widgets : {
      type   = "metric"
      x      = 12 * (index % 2)
      y      = 6 * floor(index / 2)
      width  = 12
      height = 6
      properties = {
        title  = widget.title
        region = data.aws_region.current.region
        view   = "timeSeries"
        period = 60
        metrics = [for line in widget.lines : concat(
          [line.namespace, line.name],
          flatten([for name, value in line.dimensions : [name, value]]),
          [{ stat = line.statistic, label = "${line.name} ${line.statistic}" }]
        )]
      }
    }]
  })
}
