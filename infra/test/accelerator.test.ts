import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Accelerator, type AcceleratorProps } from '../lib/accelerator';
import { given, only, refused, templateOf } from './stacks';

const loadBalancerArn = 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/realtime/1';
const behind = { loadBalancerArn, clientsAreHidden: true };
const accelerator = (props: Partial<AcceleratorProps> = {}) =>
  templateOf(
    (stack) => new Accelerator(stack, 'Accelerator', { name: 'example', domain: given.domain, regions: { 'eu-central-1': behind }, ...props }),
  );

test('clients are led to the load balancer of a region, whose health decides', () => {
  const group = only(accelerator(), 'AWS::GlobalAccelerator::EndpointGroup');
  assert.deepEqual([group.EndpointGroupRegion, group.TrafficDialPercentage], ['eu-central-1', 100]);
  assert.deepEqual(group.EndpointConfigurations, [{ EndpointId: loadBalancerArn, Weight: 128, ClientIPPreservationEnabled: false }]);
});

test('a region can be emptied while another one has clients', () => {
  const template = accelerator({ regions: { 'eu-central-1': behind, 'us-east-1': { ...behind, trafficPercent: 0 } } });
  template.hasResourceProperties('AWS::GlobalAccelerator::EndpointGroup', { EndpointGroupRegion: 'us-east-1', TrafficDialPercentage: 0 });
});

test('the name of the clients leads to it', () => {
  assert.equal(only(accelerator(), 'AWS::Route53::RecordSet').Name, 'realtime.example.com');
});

const refusals: [string, Partial<AcceleratorProps>, RegExp][] = [
  ['no region', { regions: {} }, /at least one region/],
  ['a zone', { regions: { 'eu-central-1a': behind } }, /by its name/],
  ['more than all clients', { regions: { 'eu-central-1': { ...behind, trafficPercent: 101 } } }, /from 0 to 100/],
  ['a limit per address', { regions: { 'eu-central-1': { loadBalancerArn, clientsAreHidden: false } } }, /would refuse most of them/],
  ['no clients anywhere', { regions: { 'eu-central-1': { ...behind, trafficPercent: 0 } } }, /above 0/],
];
for (const [what, props, reason] of refusals) test(`${what} is refused for the accelerator`, () => refused(() => accelerator(props), reason));
