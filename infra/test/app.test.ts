/** The app as a whole: what reaches from one construct to another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { app, given, refused, templates } from './stacks';

const resources = (size = 'small'): Record<string, { Type: string; Properties: any }> => templates(size).realtime?.toJSON().Resources;

test('database and cache accept connections of the server, and no others', () => {
  const rules = Object.values(resources()).filter((resource) => resource.Type === 'AWS::EC2::SecurityGroupIngress');
  const found = Object.fromEntries(rules.map(({ Properties }) => [Properties.ToPort, [Properties.SourceSecurityGroupId, Properties.CidrIp]]));
  const groups = Object.entries(resources()).filter(([, resource]) => resource.Type === 'AWS::EC2::SecurityGroup');
  const groupOf = (description: string) => {
    const [name] = groups.find(([, { Properties }]) => Properties.GroupDescription.startsWith(description)) ?? [];
    return [{ 'Fn::GetAtt': [name, 'GroupId'] }, undefined];
  };
  assert.equal(rules.length, 3);
  assert.deepEqual(found, { 5432: groupOf('Tasks of'), 6379: groupOf('Tasks of'), 8080: groupOf('The load balancer of') });
  // Rules in a group itself are for the load balancer, which is open to clients.
  const open = groups.filter(([, { Properties }]) => Properties.SecurityGroupIngress).map(([, { Properties }]) => Properties.GroupDescription);
  assert.deepEqual(open, ['The load balancer of realtime']);
});

test('a service of AWS may assume a role, and no one else', () => {
  const roles = Object.values(resources()).filter(({ Type }) => Type === 'AWS::IAM::Role');
  const services = roles.flatMap(({ Properties }) => Properties.AssumeRolePolicyDocument.Statement).map(({ Principal }) => Principal);
  assert.ok(services.length >= roles.length);
  for (const principal of services) {
    assert.deepEqual(Object.keys(principal), ['Service']);
    assert.match(principal.Service, /^(ecs-tasks|lambda)\.amazonaws\.com$/);
  }
});

test('the size decides how many tasks there are', () => {
  const counts = ['small', 'large'].map((size) => {
    const [target] = Object.values(resources(size)).filter((resource) => resource.Type === 'AWS::ApplicationAutoScaling::ScalableTarget');
    return [target?.Properties.MinCapacity, target?.Properties.MaxCapacity];
  });
  assert.deepEqual(counts, [
    [2, 4],
    [3, 12],
  ]);
});

test('the constructs of the app check what the inputs are', () => {
  refused(() => app({ ...given, image: 'realtime-server:latest' }), /not with :latest/);
  refused(() => app({ ...given, domain: { name: 'https://example.com', zoneId: 'Z1' } }), /without a scheme/);
});

test('everything has the tag of the application', () => {
  const tagged = Object.values(resources()).filter((resource) => Array.isArray(resource.Properties?.Tags));
  assert.ok(tagged.length > 50);
  for (const { Properties } of tagged)
    assert.ok(Properties.Tags.some((tag: { Key: string; Value: unknown }) => tag.Key === 'application' && tag.Value === 'realtime'));
});
