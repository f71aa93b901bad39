import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Edge, type EdgeProps } from '../lib/edge';
import { given, only, refused, templateIn } from './stacks';

const edge = (props: Partial<EdgeProps> = {}) =>
  templateIn((stack, network) => {
    const { vpc, publicSubnets, privateCidrs } = network;
    new Edge(stack, 'Edge', { name: 'example', vpc, subnets: publicSubnets, targetCidrs: privateCidrs, domain: given.domain, ...props });
  });

/** The attributes of a load balancer or a target group. */
const attributes = (list: { Key: string; Value: unknown }[]) => Object.fromEntries(list.map(({ Key, Value }) => [Key, Value]));
const target = (props: Partial<EdgeProps> = {}) => {
  const group = only(edge(props), 'AWS::ElasticLoadBalancingV2::TargetGroup');
  return { group, attribute: attributes(group.TargetGroupAttributes) };
};

test('clients connect with TLS 1.2 or 1.3, and tasks receive PROXY headers', () => {
  const listener = only(edge(), 'AWS::ElasticLoadBalancingV2::Listener');
  assert.deepEqual(
    [listener.Port, listener.Protocol, listener.SslPolicy, listener.AlpnPolicy],
    [443, 'TLS', 'ELBSecurityPolicy-TLS13-1-2-2021-06', ['HTTP1Only']],
  );
  assert.equal(target().attribute['proxy_protocol_v2.enabled'], 'true');
});

test('a task that stops keeps its clients until it has disconnected them', () => {
  const { attribute } = target({ drain: { delay: 30, timeout: 50, shutdown: 5 }, deregistrationDelay: 20 });
  assert.equal(
    attribute['target_health_state.unhealthy.connection_termination.enabled'],
    'false',
    'The load balancer cuts all clients of a task at once.',
  );
  assert.equal(attribute['target_health_state.unhealthy.draining_interval_seconds'], '145');
  assert.equal(attribute['deregistration_delay.connection_termination.enabled'], 'false');
  assert.equal(attribute['deregistration_delay.timeout_seconds'], '20');
});

test('tasks are asked for their readiness, on the port of the clients', () => {
  const { group } = target();
  assert.deepEqual([group.HealthCheckProtocol, group.HealthCheckPath, group.HealthCheckPort], ['HTTP', '/readyz', 'traffic-port']);
  assert.deepEqual([group.HealthCheckIntervalSeconds, group.UnhealthyThresholdCount], [5, 2]);
});

test('the load balancer uses all zones, cannot be deleted by accident, and writes a log', () => {
  const attribute = attributes(only(edge(), 'AWS::ElasticLoadBalancingV2::LoadBalancer').LoadBalancerAttributes);
  assert.equal(attribute['load_balancing.cross_zone.enabled'], 'true');
  assert.equal(attribute['deletion_protection.enabled'], 'true');
  assert.equal(attribute['access_logs.s3.enabled'], 'true');
});

test('the bucket of the log is closed to the public and to plain HTTP, and lines expire', () => {
  const template = edge({ logRetentionDays: 7 });
  const bucket = only(template, 'AWS::S3::Bucket');
  assert.deepEqual(new Set(Object.values(bucket.PublicAccessBlockConfiguration)), new Set([true]));
  assert.equal(bucket.LifecycleConfiguration.Rules[0].ExpirationInDays, 7);
  assert.match(
    JSON.stringify(only(template, 'AWS::S3::BucketPolicy')),
    /"Deny".*"aws:SecureTransport":"false"|"aws:SecureTransport":"false".*"Deny"/,
  );
});

test('it reaches the tasks and nothing else', () => {
  const group = only(edge(), 'AWS::EC2::SecurityGroup');
  assert.deepEqual(
    group.SecurityGroupIngress.map((rule: { FromPort: number }) => rule.FromPort),
    [443],
  );
  assert.deepEqual(
    group.SecurityGroupEgress.map((rule: { CidrIp: string; ToPort: number }) => `${rule.CidrIp} ${rule.ToPort}`),
    ['10.0.64.0/20 8080', '10.0.80.0/20 8080'],
  );
});

test('the name leads to it, unless an accelerator has the name', () => {
  edge().resourceCountIs('AWS::Route53::RecordSet', 1);
  edge({ hasRecord: false }).resourceCountIs('AWS::Route53::RecordSet', 0);
});

const refusals: [string, Partial<EdgeProps>, RegExp][] = [
  ['a domain with a scheme', { domain: { name: 'https://example.com', zoneId: 'Z1' } }, /without a scheme/],
  ['a name that is too long', { domain: { name: `${'a'.repeat(60)}.example.com`, zoneId: 'Z0123456789' } }, /domain\.name has at most 64 characters/],
  ['the name of a zone', { domain: { name: 'realtime.example.com', zoneId: 'example.com' } }, /the id of a hosted zone/],
  ['a drain that begins before the checks fail', { drain: { delay: 10, timeout: 60, shutdown: 5 } }, /new clients to a task that stops/],
  ['checks every second', { healthCheck: { interval: 1, unhealthyThreshold: 2 } }, /from 5 to 300/],
  ['one failed check', { healthCheck: { interval: 5, unhealthyThreshold: 1 } }, /from 2 to 10/],
  ['a short deregistration', { deregistrationDelay: 5 }, /from 15 to 120/],
  ['one subnet', { subnets: [] }, /at least two zones/],
  ['a target that is no network', { targetCidrs: ['tasks'] }, /targetCidrs are networks/],
  ['no retention', { logRetentionDays: 0 }, /at least 1/],
  ['a reserved name', { name: 'internal-edge' }, /does not begin with internal-/],
];
for (const [what, props, reason] of refusals) test(`${what} is refused for the load balancer`, () => refused(() => edge(props), reason));
