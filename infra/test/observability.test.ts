import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Observability, type ObservabilityProps } from '../lib/observability';
import { only, refused, templateOf } from './stacks';

const observability = (props: Partial<ObservabilityProps> = {}) =>
  templateOf((stack) => new Observability(stack, 'Observability', { name: 'example', dimensions: { service: 'example' }, ...props }));

const read = (file: string) => JSON.parse(readFileSync(join(__dirname, '../monitoring', file), 'utf8'));
const conditions: { alert: string; requires?: string }[] = read('cloudwatch-alarms.json').alarms;
const alarms = (props: Partial<ObservabilityProps> = {}): Record<string, any> =>
  Object.fromEntries(
    Object.values(observability(props).findResources('AWS::CloudWatch::Alarm')).map(({ Properties }) => [Properties.AlarmName, Properties]),
  );

test('each condition of the file is an alarm, but for those about TLS, which ends at the load balancer', () => {
  const expected = conditions.filter((condition) => condition.requires !== 'tls').map((condition) => `example-${condition.alert}`);
  assert.deepEqual(Object.keys(alarms()).sort(), expected.sort());
});

test('each alarm compares one value, of metrics as the server sends them, and notifies', () => {
  for (const alarm of Object.values(alarms())) {
    assert.equal(alarm.Metrics.filter((query: { ReturnData: boolean }) => query.ReturnData).length, 1);
    assert.deepEqual([alarm.AlarmActions.length, alarm.OKActions.length], [1, 1]);
    for (const { MetricStat } of alarm.Metrics) {
      if (MetricStat === undefined) continue;
      assert.equal(MetricStat.Metric.Namespace, 'Realtime');
      assert.deepEqual(MetricStat.Metric.Dimensions[0], { Name: 'service', Value: 'example' });
    }
  }
});

test('without databases of tenants there are no alarms about them', () => {
  const names = Object.keys(alarms({ tenantDatabases: false }));
  assert.ok(!names.includes('example-RealtimeChangesBehind') && names.includes('example-RealtimeBusDown'));
});

test('the topic has a key that alarms may use', () => {
  const template = observability({ emails: ['operators@example.com'] });
  assert.ok('Fn::GetAtt' in only(template, 'AWS::SNS::Topic').KmsMasterKeyId);
  assert.match(JSON.stringify(only(template, 'AWS::KMS::Key').KeyPolicy), /cloudwatch\.amazonaws\.com/);
  assert.equal(only(template, 'AWS::SNS::Subscription').Endpoint, 'operators@example.com');
});

test('the dashboard has the graphs of the file, side by side', () => {
  const { widgets } = JSON.parse(only(observability(), 'AWS::CloudWatch::Dashboard').DashboardBody);
  const titles = widgets.map((widget: { properties: { title: string } }) => widget.properties.title);
  assert.deepEqual(
    titles,
    read('cloudwatch-dashboard.json').graphs.map((graph: { title: string }) => graph.title),
  );
  assert.equal(new Set(widgets.map(({ x, y }: { x: number; y: number }) => `${x} ${y}`)).size, widgets.length);
  assert.deepEqual(widgets[0].properties.metrics[0].slice(0, 4), ['Realtime', 'phoenix_connections_active', 'service', 'example']);
});

const resources = {
  database: { clusterId: 'example', connectionsMax: 1000 },
  cache: { nodeIds: ['example-001', 'example-002'] },
  loadBalancer: { loadBalancer: 'net/example/1', targetGroup: 'targetgroup/example/1', targetsMin: 3 },
  service: { cluster: 'example', service: 'example', logNamespace: 'Realtime/example' },
};

test('each resource that is given has its alarms, and each of them a graph', () => {
  const own = Object.keys(alarms());
  const template = observability({ resources });
  const added = Object.values(template.findResources('AWS::CloudWatch::Alarm'))
    .map(({ Properties }) => Properties)
    .filter(({ AlarmName }) => !own.includes(AlarmName));
  assert.equal(added.length, 13);
  const { widgets } = JSON.parse(only(template, 'AWS::CloudWatch::Dashboard').DashboardBody);
  const titles: string[] = widgets.map((widget: { properties: { title: string } }) => widget.properties.title);
  for (const alarm of added)
    assert.ok(
      titles.some((title) => alarm.AlarmDescription === `${title}. docs/aws.md#alarms-of-resources`),
      alarm.AlarmName,
    );
});

test('thresholds follow from the size of the resource, or are given', () => {
  const found = alarms({ resources, thresholds: { slotBytes: 1_000_000_000 } });
  assert.equal(found['example-DatabaseConnectionsShort'].Threshold, 800);
  assert.equal(found['example-TargetsFew'].Threshold, 3);
  assert.equal(found['example-TargetsFew'].TreatMissingData, 'breaching', 'A load balancer without any target is no alarm.');
  assert.equal(found['example-DatabaseSlotBehind'].Threshold, 1_000_000_000);
  assert.equal(found['example-DatabaseCapacityShort'].Threshold, 90);
});

test('the alarms of the cache are about the highest value of its nodes', () => {
  const { Metrics } = alarms({ resources })['example-CacheMemoryShort'];
  assert.deepEqual(
    Metrics.flatMap((query: any) => query.MetricStat?.Metric.Dimensions.map((dimension: { Value: string }) => dimension.Value) ?? []),
    resources.cache.nodeIds,
  );
  assert.equal(Metrics.find((query: any) => query.ReturnData).Expression, 'MAX([node0, node1])');
});

const refusals: [string, Partial<ObservabilityProps>, RegExp][] = [
  ['a file without alarms', { alarmsFile: 'cdk.json' }, /alarmsFile is the path/],
  ['a namespace of AWS', { namespace: 'AWS/ECS' }, /only AWS sends metrics/],
  ['an address without a host', { emails: ['operators'] }, /emails are addresses/],
  ['more than everything', { thresholds: { cacheMemoryPercent: 100 } }, /percentages below 100/],
  ['too many dimensions', { dimensions: Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`d${index}`, 'x'])) }, /at most 20/],
];
for (const [what, props, reason] of refusals) test(`${what} is refused for alarms`, () => refused(() => observability(props), reason));
