import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Network, type NetworkProps } from '../lib/network';
import { refused, templateOf } from './stacks';

const network = (props: Partial<NetworkProps> = {}) => templateOf((stack) => new Network(stack, 'Network', { name: 'example', ...props }));

const cidrs = (template: ReturnType<typeof network>) =>
  Object.values(template.findResources('AWS::EC2::Subnet')).map((subnet) => subnet.Properties.CidrBlock);

test('a further zone leaves the addresses of the others as they are', () => {
  const two = cidrs(network());
  const four = cidrs(network({ zones: 4 }));
  assert.deepEqual(two, ['10.0.0.0/20', '10.0.16.0/20', '10.0.64.0/20', '10.0.80.0/20', '10.0.128.0/20', '10.0.144.0/20']);
  assert.equal(four.length, 12);
  assert.ok(two.every((cidr) => four.includes(cidr)));
});

test('a small network has small subnets', () => {
  assert.equal(cidrs(network({ cidr: '10.1.0.0/22' }))[0], '10.1.0.0/26');
});

test('each zone has a NAT, and nothing in it has an address of its own', () => {
  const template = network({ zones: 3 });
  template.resourceCountIs('AWS::EC2::NatGateway', 3);
  template.allResourcesProperties('AWS::EC2::Subnet', { MapPublicIpOnLaunch: false });
});

test('one NAT can serve all zones', () => {
  const template = network({ zones: 3, natGateways: 1 });
  template.resourceCountIs('AWS::EC2::NatGateway', 1);
  const routes = Object.values(template.findResources('AWS::EC2::Route')).filter((route) => route.Properties.NatGatewayId);
  assert.equal(routes.length, 3);
});

test('the way to S3 is for the private subnets alone', () => {
  const [endpoint] = Object.values(network().findResources('AWS::EC2::VPCEndpoint'));
  assert.equal(endpoint?.Properties.RouteTableIds.length, 2);
  assert.ok(endpoint?.Properties.RouteTableIds.every((table: { Ref: string }) => table.Ref.includes('Private')));
});

test('the group that AWS makes with the network loses its rules', () => {
  network().resourceCountIs('Custom::VpcRestrictDefaultSG', 1);
});

for (const [what, props, message] of [
  ['a network that is too small', { cidr: '10.0.0.0/23' }, /cidr is a network of IPv4 from \/16 to \/22/],
  ['one zone', { zones: 1 }, /zones is 2, 3 or 4/],
  ['a NAT for some zones', { zones: 3, natGateways: 2 }, /natGateways is 1, or as many as zones/],
  ['a name with capitals', { name: 'Example' }, /name has 1 to 20 small letters/],
] as const) {
  test(`${what} is refused`, () => {
    refused(() => network(props), message);
  });
}
