# One page: clients, what they do, how long it takes, and what the nodes have left.

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
  dimensions = flatten([for name, value in var.dimensions : [name, value]])
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for index, graph in local.graphs : {
      type   = "metric"
      x      = 12 * (index % 2)
      y      = 6 * floor(index / 2)
      width  = 12
      height = 6
      properties = {
        title   = graph.title
        region  = data.aws_region.current.region
        view    = "timeSeries"
        period  = 60
        metrics = [for line in graph.lines : concat([var.namespace, line[0]], local.dimensions, [{ stat = line[1], label = "${line[0]} ${line[1]}" }])]
      }
    }]
  })
}
