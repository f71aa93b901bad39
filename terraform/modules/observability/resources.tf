# Alarms of what AWS runs for the server: database, cache, load balancer, tasks. The server notices when one of them has failed; these
# notice before, and what the server cannot see. A resource that is not given has none.
#
# Names, dimensions and statistics are those of the documentation of AWS: tests/deploy/terraform/cloudwatch.txt says of which pages.

locals {
  # What each of them is when it does not say otherwise: five minutes in a row.
  common = {
    severity   = "warning"
    comparison = "GreaterThanThreshold"
    period     = 60
    periods    = 5
    datapoints = 5
    missing    = "notBreaching"
    runbook    = "${trimsuffix(var.runbook_url, "runbook.md")}aws.md#alarms-of-resources"
  }
  # The role, not an instance: it stays the same after a failover.
  writer  = var.database == null ? null : { DBClusterIdentifier = var.database.cluster_id, Role = "WRITER" }
  cluster = var.database == null ? null : { DBClusterIdentifier = var.database.cluster_id }
  nodes   = var.cache == null ? [] : var.cache.node_ids
  targets = var.load_balancer == null ? null : { LoadBalancer = var.load_balancer.load_balancer, TargetGroup = var.load_balancer.target_group }
  tasks   = var.service == null ? null : { ClusterName = var.service.cluster, ServiceName = var.service.service }

  database_alarms = var.database == null ? null : {
    # A slot that nothing reads keeps the log from then on. The first metric is that of the slots, the second, which Aurora has only
    # with logical replication, the size of what is kept; either is enough.
    DatabaseSlotBehind = merge(local.common, {
      description = "A replication slot keeps much of the log of the database"
      threshold   = var.thresholds.slot_bytes
      expression  = "MAX([FILL(lag, 0), FILL(logs, 0)])"
      metrics = [
        { id = "lag", namespace = "AWS/RDS", name = "OldestReplicationSlotLag", statistic = "Maximum", dimensions = local.writer },
        { id = "logs", namespace = "AWS/RDS", name = "TransactionLogsDiskUsage", statistic = "Maximum", dimensions = local.writer },
      ]
    })
    DatabaseCapacityShort = merge(local.common, {
      description = "An instance of the database has nearly all the capacity that it may have"
      threshold   = var.thresholds.database_capacity_percent
      periods     = 15
      datapoints  = 15
      metrics     = [{ id = "used", namespace = "AWS/RDS", name = "ACUUtilization", statistic = "Maximum", dimensions = local.cluster }]
    })
    # For temporary files and logs; the tables are in the volume of the cluster, which grows.
    DatabaseStorageShort = merge(local.common, {
      description = "An instance of the database has little local storage left"
      comparison  = "LessThanThreshold"
      threshold   = var.thresholds.database_storage_bytes
      metrics     = [{ id = "free", namespace = "AWS/RDS", name = "FreeLocalStorage", statistic = "Minimum", dimensions = local.cluster }]
    })
    DatabaseConnectionsShort = merge(local.common, {
      description = "The writer of the database has nearly as many connections as it may have"
      threshold   = floor(var.database.connections_max * var.thresholds.database_connections_percent / 100)
      metrics     = [{ id = "open", namespace = "AWS/RDS", name = "DatabaseConnections", statistic = "Maximum", dimensions = local.writer }]
    })
  }

  # One alarm for all nodes: the highest value of any.
  cache_metrics = { for name, statistic in {
    DatabaseMemoryUsagePercentage = "Maximum"
    EngineCPUUtilization          = "Maximum"
    Evictions                     = "Sum"
    ReplicationLag                = "Maximum"
    } : name => [for index, node in local.nodes : {
      id         = "node${index}"
      namespace  = "AWS/ElastiCache"
      name       = name
      statistic  = statistic
      dimensions = { CacheClusterId = node }
    }]
  }
  highest_of_nodes = "MAX([${join(", ", [for index, node in local.nodes : "node${index}"])}])"

  cache_alarms = var.cache == null ? null : {
    # A full cache refuses writes (noeviction): presence is lost, and nodes are no longer found.
    CacheMemoryShort = merge(local.common, {
      description = "A node of the cache is nearly full"
      severity    = "critical"
      threshold   = var.thresholds.cache_memory_percent
      expression  = local.highest_of_nodes
      metrics     = local.cache_metrics["DatabaseMemoryUsagePercentage"]
    })
    # One thread executes all commands, and every message between nodes is one.
    CacheBusy = merge(local.common, {
      description = "The thread of the cache that executes commands is nearly always busy"
      threshold   = var.thresholds.cache_cpu_percent
      expression  = local.highest_of_nodes
      metrics     = local.cache_metrics["EngineCPUUtilization"]
    })
    # None happens with the parameter group of the module `cache`.
    CacheEvicts = merge(local.common, {
      description = "The cache removes keys that have not expired"
      severity    = "critical"
      threshold   = 0
      periods     = 1
      datapoints  = 1
      expression  = local.highest_of_nodes
      metrics     = local.cache_metrics["Evictions"]
    })
    CacheReplicaBehind = merge(local.common, {
      description = "A replica of the cache is behind, and a failover would lose what it lacks"
      threshold   = var.thresholds.cache_lag_seconds
      expression  = local.highest_of_nodes
      metrics     = local.cache_metrics["ReplicationLag"]
    })
  }

  # The nodes of the load balancer count targets each for itself: the lowest number of unhealthy ones, the highest of healthy ones.
  load_balancer_alarms = var.load_balancer == null ? null : {
    TargetsUnhealthy = merge(local.common, {
      description = "A task does not pass the checks of the load balancer"
      threshold   = 0
      metrics     = [{ id = "unhealthy", namespace = "AWS/NetworkELB", name = "UnHealthyHostCount", statistic = "Minimum", dimensions = local.targets }]
    })
    # Without a target there may be no metric either.
    TargetsFew = merge(local.common, {
      description = "The load balancer has fewer healthy tasks than there should be at least"
      severity    = "critical"
      comparison  = "LessThanThreshold"
      threshold   = var.load_balancer.targets_min
      missing     = "breaching"
      metrics     = [{ id = "healthy", namespace = "AWS/NetworkELB", name = "HealthyHostCount", statistic = "Maximum", dimensions = local.targets }]
    })
  }

  service_alarms = var.service == null ? null : {
    # A start takes a minute or two; longer, tasks do not start, or end again.
    TasksMissing = merge(local.common, {
      description = "Fewer tasks run than ECS is to run"
      severity    = "critical"
      threshold   = 0
      periods     = 10
      datapoints  = 10
      expression  = "desired - running"
      metrics = [
        { id = "desired", namespace = "ECS/ContainerInsights", name = "DesiredTaskCount", statistic = "Average", dimensions = local.tasks },
        { id = "running", namespace = "ECS/ContainerInsights", name = "RunningTaskCount", statistic = "Average", dimensions = local.tasks },
      ]
    })
    # Each line is about ten minutes, which is also the longest that settings_interval may be.
    SettingsNotFetched = merge(local.common, {
      description = "Tasks cannot fetch config.toml or their secrets"
      threshold   = 0
      period      = 600
      periods     = 1
      datapoints  = 1
      metrics     = [{ id = "lines", namespace = var.service.log_namespace, name = "settings_not_fetched", statistic = "Sum", dimensions = {} }]
    })
    # Of the task, and so of the container that fetches settings as well; the server's own are among the alarms of the server.
    TasksMemoryShort = merge(local.common, {
      description = "A task uses nearly all of its memory"
      threshold   = var.thresholds.task_memory_percent
      metrics     = [{ id = "used", namespace = "AWS/ECS", name = "MemoryUtilization", statistic = "Maximum", dimensions = local.tasks }]
    })
  }

  resource_alarms = merge(local.database_alarms, local.cache_alarms, local.load_balancer_alarms, local.service_alarms)
}
