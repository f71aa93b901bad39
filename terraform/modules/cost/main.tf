# What a month costs: a formula over list prices, sizes and traffic, without a provider and without an account. It is planned in its
# folder: `terraform plan -var size=large -var connections=100000`.
#
# It leaves out taxes, support and discounts, traffic between Redis and tasks in other zones, backups that are larger than the
# database, and what costs cents: access logs, settings, images.

locals {
  hours   = 730
  seconds = local.hours * 3600
  size    = coalesce(var.resources, jsondecode(file("${path.module}/../../sizes.json"))[var.size])

  # As many as scaling has running: each has at most six tenths of its limit.
  per_task = floor(local.size.task.max_connections * 0.6)
  tasks    = min(max(ceil(var.connections / local.per_task), local.size.task.count.min), local.size.task.count.max)

  gb = {
    for direction, bytes in {
      in  = var.traffic.idle_bytes_per_second + var.traffic.sent_per_second * var.traffic.message_bytes
      out = var.traffic.idle_bytes_per_second + var.traffic.received_per_second * var.traffic.message_bytes
    } : direction => var.connections * bytes * local.seconds / 1e9
  }

  # Capacity units of a TLS listener: what is highest of new connections, connections and bytes.
  new_per_second = var.connections / (var.traffic.session_minutes * 60)
  nlcu = max(
    local.new_per_second / var.prices.nlcu_new_per_second,
    var.connections / var.prices.nlcu_connections,
    (local.gb.in + local.gb.out) / local.hours / var.prices.nlcu_gb_per_hour,
  )

  # Each tier from its beginning to that of the next one.
  out = sum([
    for index, tier in var.prices.data_out :
    max(0, min(local.gb.out, try(var.prices.data_out[index + 1].from_gb, local.gb.out)) - tier.from_gb) * tier.gb
  ])

  # Requests of all tasks in a month: metrics once a minute, secrets once in an interval.
  metric_requests = local.tasks * local.hours * 60
  secret_requests = local.tasks * local.seconds / var.settings_interval

  parts = {
    tasks         = local.tasks * local.hours * (local.size.task.cpu / 1024 * var.prices.vcpu_hour + local.size.task.memory / 1024 * var.prices.memory_gb_hour)
    database      = var.database.instances * coalesce(var.database.capacity, local.size.database.min) * local.hours * var.prices.acu_hour + var.database.storage_gb * var.prices.database_gb + var.database.io_millions * var.prices.io_million
    cache         = var.cache_nodes * local.hours * var.prices.node_hour[local.size.node_type]
    load_balancer = local.hours * (var.prices.load_balancer_hour + local.nlcu * var.prices.nlcu_hour)
    nat           = var.nat_gateways * local.hours * var.prices.nat_hour + local.tasks * var.nat_gb_per_task * var.prices.nat_gb
    addresses     = (var.zones + var.nat_gateways) * local.hours * var.prices.address_hour
    data_out      = local.out
    between_zones = (local.gb.in + local.gb.out) * (1 - 1 / var.zones) * var.prices.between_zones_gb
    monitoring = (
      (var.counts.server_metrics + var.counts.labelled_metrics + var.counts.insights_metrics + var.counts.log_metrics) * var.prices.metric
      + var.counts.alarm_metrics * var.prices.alarm_metric + var.prices.dashboard
      + local.metric_requests / 1000 * var.prices.metric_requests_1000 + local.tasks * var.log_gb_per_task * var.prices.log_gb
    )
    secrets     = var.counts.secrets * var.prices.secret + local.secret_requests / 10000 * var.prices.secret_requests_10000 + var.prices.key
    domain      = var.prices.zone
    accelerator = var.accelerator ? local.hours * (var.prices.accelerator_hour + 2 * var.prices.address_hour) + max(local.gb.in, local.gb.out) * var.prices.accelerator_gb : 0
  }
}
