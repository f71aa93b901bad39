/**
 * Alarms of what AWS runs for the server: database, cache, load balancer, tasks. The server notices when one of them has failed; these
 * notice before, and what the server cannot see. A resource that is not given has none.
 *
 * Names, dimensions and statistics are those of the documentation of AWS: tests/deploy/terraform/cloudwatch.txt says of which pages.
 */
import { refuseUnless } from '../valid';
import type { Conditions, Metric } from './alarms';

/** What alarms need of the resources. */
export interface Monitored {
  /** Name of the cluster, and how many connections an instance accepts. */
  readonly database?: { readonly clusterId: string; readonly connectionsMax: number };
  /** Names of the nodes, which stay when the primary changes. */
  readonly cache?: { readonly nodeIds: string[] };
  /** Load balancer and target group as their metrics name them, and the fewest tasks that are to be healthy. */
  readonly loadBalancer?: { readonly loadBalancer: string; readonly targetGroup: string; readonly targetsMin: number };
  /** Cluster and service as their metrics name them, and the namespace of what is counted in their log. */
  readonly service?: { readonly cluster: string; readonly service: string; readonly logNamespace: string };
}

/** From when on the alarms of resources are raised. */
export interface Thresholds {
  readonly slotBytes: number;
  readonly databaseCapacityPercent: number;
  readonly databaseStorageBytes: number;
  readonly databaseConnectionsPercent: number;
  readonly cacheMemoryPercent: number;
  readonly cacheCpuPercent: number;
  readonly cacheLagSeconds: number;
  readonly taskMemoryPercent: number;
}

const THRESHOLDS: Thresholds = {
  // As many as `changes.durable` may keep in a healthy system, and more.
  slotBytes: 5_000_000_000,
  databaseCapacityPercent: 90,
  databaseStorageBytes: 1_000_000_000,
  databaseConnectionsPercent: 80,
  cacheMemoryPercent: 75,
  cacheCpuPercent: 80,
  cacheLagSeconds: 10,
  taskMemoryPercent: 85,
};

type Unplaced = Omit<Conditions, 'runbook'>;

/** What each of them is when it does not say otherwise: five minutes in a row. */
const COMMON = {
  severity: 'warning',
  comparison: 'GreaterThanThreshold',
  period: 60,
  periods: 5,
  datapoints: 5,
  missing: 'notBreaching',
};

/** The alarms of the resources that are given, by their names. */
export function resourceAlarms(monitored: Monitored, given: Partial<Thresholds>, runbookUrl: string): Record<string, Conditions> {
  const thresholds = { ...THRESHOLDS, ...given };
  for (const [name, value] of Object.entries(thresholds)) {
    refuseUnless(
      value > 0 && (!name.endsWith('Percent') || value < 100),
      'thresholds are above 0, and percentages below 100, which they never exceed.',
    );
  }
  const { database, cache, loadBalancer, service } = monitored;
  const alarms: Record<string, Unplaced> = {
    ...(database && databaseAlarms(database, thresholds)),
    ...(cache && cacheAlarms(cache, thresholds)),
    ...(loadBalancer && loadBalancerAlarms(loadBalancer)),
    ...(service && serviceAlarms(service, thresholds)),
  };
  const runbook = `${runbookUrl.replace(/runbook\.md$/, '')}aws.md#alarms-of-resources`;
  return Object.fromEntries(Object.entries(alarms).map(([name, alarm]) => [name, { ...alarm, runbook }]));
}

function metric(id: string, namespace: string, name: string, statistic: string, dimensions: Record<string, string>): Metric {
  return { id, namespace, name, statistic, dimensions };
}

function databaseAlarms({ clusterId, connectionsMax }: NonNullable<Monitored['database']>, thresholds: Thresholds): Record<string, Unplaced> {
  const cluster = { DBClusterIdentifier: clusterId };
  // The role, not an instance: it stays the same after a failover.
  const writer = { ...cluster, Role: 'WRITER' };
  return {
    // A slot that nothing reads keeps the log from then on. The first metric is that of the slots, the second, which Aurora has only
    // with logical replication, the size of what is kept; either is enough.
    DatabaseSlotBehind: {
      ...COMMON,
      description: 'A replication slot keeps much of the log of the database',
      threshold: thresholds.slotBytes,
      expression: 'MAX([FILL(lag, 0), FILL(logs, 0)])',
      metrics: [
        metric('lag', 'AWS/RDS', 'OldestReplicationSlotLag', 'Maximum', writer),
        metric('logs', 'AWS/RDS', 'TransactionLogsDiskUsage', 'Maximum', writer),
      ],
    },
    DatabaseCapacityShort: {
      ...COMMON,
      description: 'An instance of the database has nearly all the capacity that it may have',
      threshold: thresholds.databaseCapacityPercent,
      periods: 15,
      datapoints: 15,
      metrics: [metric('used', 'AWS/RDS', 'ACUUtilization', 'Maximum', cluster)],
    },
    // For temporary files and logs; the tables are in the volume of the cluster, which grows.
    DatabaseStorageShort: {
      ...COMMON,
      description: 'An instance of the database has little local storage left',
      comparison: 'LessThanThreshold',
      threshold: thresholds.databaseStorageBytes,
      metrics: [metric('free', 'AWS/RDS', 'FreeLocalStorage', 'Minimum', cluster)],
    },
    DatabaseConnectionsShort: {
      ...COMMON,
      description: 'The writer of the database has nearly as many connections as it may have',
      threshold: Math.floor((connectionsMax * thresholds.databaseConnectionsPercent) / 100),
      metrics: [metric('open', 'AWS/RDS', 'DatabaseConnections', 'Maximum', writer)],
    },
  };
}

function cacheAlarms({ nodeIds }: NonNullable<Monitored['cache']>, thresholds: Thresholds): Record<string, Unplaced> {
  // One alarm for all nodes: the highest value of any.
  const highest = (name: string, statistic: string) => ({
    expression: `MAX([${nodeIds.map((_, index) => `node${index}`).join(', ')}])`,
    metrics: nodeIds.map((node, index) => metric(`node${index}`, 'AWS/ElastiCache', name, statistic, { CacheClusterId: node })),
  });
  return {
    // A full cache refuses writes (noeviction): presence is lost, and nodes are no longer found.
    CacheMemoryShort: {
      ...COMMON,
      description: 'A node of the cache is nearly full',
      severity: 'critical',
      threshold: thresholds.cacheMemoryPercent,
      ...highest('DatabaseMemoryUsagePercentage', 'Maximum'),
    },
    // One thread executes all commands, and every message between nodes is one.
    CacheBusy: {
      ...COMMON,
      description: 'The thread of the cache that executes commands is nearly always busy',
      threshold: thresholds.cacheCpuPercent,
      ...highest('EngineCPUUtilization', 'Maximum'),
    },
    // None happens with the parameter group of `Cache`.
    CacheEvicts: {
      ...COMMON,
      description: 'The cache removes keys that have not expired',
      severity: 'critical',
      threshold: 0,
      periods: 1,
      datapoints: 1,
      ...highest('Evictions', 'Sum'),
    },
    CacheReplicaBehind: {
      ...COMMON,
      description: 'A replica of the cache is behind, and a failover would lose what it lacks',
      threshold: thresholds.cacheLagSeconds,
      ...highest('ReplicationLag', 'Maximum'),
    },
  };
}

/** The nodes of the load balancer count targets each for itself: the lowest number of unhealthy ones, the highest of healthy ones. */
function loadBalancerAlarms({ loadBalancer, targetGroup, targetsMin }: NonNullable<Monitored['loadBalancer']>): Record<string, Unplaced> {
  const targets = { LoadBalancer: loadBalancer, TargetGroup: targetGroup };
  return {
    TargetsUnhealthy: {
      ...COMMON,
      description: 'A task does not pass the checks of the load balancer',
      threshold: 0,
      metrics: [metric('unhealthy', 'AWS/NetworkELB', 'UnHealthyHostCount', 'Minimum', targets)],
    },
    // Without a target there may be no metric either.
    TargetsFew: {
      ...COMMON,
      description: 'The load balancer has fewer healthy tasks than there should be at least',
      severity: 'critical',
      comparison: 'LessThanThreshold',
      threshold: targetsMin,
      missing: 'breaching',
      metrics: [metric('healthy', 'AWS/NetworkELB', 'HealthyHostCount', 'Maximum', targets)],
    },
  };
}

function serviceAlarms({ cluster, service, logNamespace }: NonNullable<Monitored['service']>, thresholds: Thresholds): Record<string, Unplaced> {
  const tasks = { ClusterName: cluster, ServiceName: service };
  return {
    // A start takes a minute or two; longer, tasks do not start, or end again.
    TasksMissing: {
      ...COMMON,
      description: 'Fewer tasks run than ECS is to run',
      severity: 'critical',
      threshold: 0,
      periods: 10,
      datapoints: 10,
      expression: 'desired - running',
      metrics: [
        metric('desired', 'ECS/ContainerInsights', 'DesiredTaskCount', 'Average', tasks),
        metric('running', 'ECS/ContainerInsights', 'RunningTaskCount', 'Average', tasks),
      ],
    },
    // Each line is about ten minutes, which is also the longest that settingsInterval may be.
    SettingsNotFetched: {
      ...COMMON,
      description: 'Tasks cannot fetch config.toml or their secrets',
      threshold: 0,
      period: 600,
      periods: 1,
      datapoints: 1,
      metrics: [metric('lines', logNamespace, 'settings_not_fetched', 'Sum', {})],
    },
    // Of the task, and so of the container that fetches settings as well; the server's own are among the alarms of the server.
    TasksMemoryShort: {
      ...COMMON,
      description: 'A task uses nearly all of its memory',
      threshold: thresholds.taskMemoryPercent,
      metrics: [metric('used', 'AWS/ECS', 'MemoryUtilization', 'Maximum', tasks)],
    },
  };
}
