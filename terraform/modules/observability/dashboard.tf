# One page: clients, what they do, how long it takes, what the nodes have left, and a graph for each alarm of a resource.

data "aws_region" "current" {}

locals {
  # Title, and of each line its metric and statistic. Counters are summed up over all nodes, gauges of nodes are their highest value.
  graphs = [
    { title = "Connections", lines = [["phoenix_connections_active", "Sum"], ["phoenix_connections_max", "Sum"]] },
    { title = "Refused", lines = [["realtime_connections_refused_total", "Sum"], ["realtime_sockets_refused_total", "Sum"], ["realtime_limits_refused_total", "Sum"]] },
    { title = "Events in a minute", lines = [["realtime_channel_global_events", "Sum"], ["realtime_channel_global_presence_events", "Sum"], ["realtime_channel_global_db_events", "Sum"]] },
    { title = "Bytes in a minute", lines = [["realtime_channel_global_input_bytes", "Sum"], ["realtime_channel_global_output_bytes", "Sum"]] },
    { title = "Time of a join (s)", lines = [["realtime_join_duration_seconds", "p50"], ["realtime_join_duration_seconds", "p99"]] },
    { title = "Time of a broadcast (s)", lines = [["realtime_broadcast_fanout_duration_seconds", "p50"], ["realtime_broadcast_fanout_duration_seconds", "p99"]] },
    { title = "Delay of changes (s)", lines = [["realtime_changes_delay_seconds", "p50"], ["realtime_changes_delay_seconds", "p95"]] },
    { title = "Rooms and members", lines = [["realtime_rooms", "Sum"], ["realtime_members", "Sum"]] },
    { title = "Memory of clients", lines = [["realtime_memory_used_bytes", "Maximum"], ["realtime_memory_limit_bytes", "Minimum"]] },
    { title = "Redis and store connected", lines = [["realtime_bus_connected", "Minimum"], ["realtime_store_connected", "Minimum"]] },
  ]

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
