import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Cache, type CacheProps } from '../lib/cache';
import { only, refused, templateIn } from './stacks';

const cache = (props: Partial<CacheProps> = {}) =>
  templateIn((stack, { vpc, isolatedSubnets }) => {
    const made = new Cache(stack, 'Cache', { name: 'example', vpc, subnets: isolatedSubnets, ...props });
    made.allowFrom('server', new ec2.SecurityGroup(stack, 'Server', { vpc }));
  });

test('what is sent and stored is encrypted, and another zone takes over', () => {
  const group = only(cache(), 'AWS::ElastiCache::ReplicationGroup');
  assert.deepEqual(
    [
      group.TransitEncryptionEnabled,
      group.TransitEncryptionMode,
      group.AtRestEncryptionEnabled,
      group.MultiAZEnabled,
      group.AutomaticFailoverEnabled,
    ],
    [true, 'required', true, true, true],
  );
  assert.equal(group.NumCacheClusters, 2);
  assert.equal(group.AutoMinorVersionUpgrade, false);
});

test('a full cache refuses, and evicts nothing', () => {
  const parameters = only(cache({ engineVersion: '9.1' }), 'AWS::ElastiCache::ParameterGroup');
  assert.deepEqual(parameters.Properties, { 'maxmemory-policy': 'noeviction' });
  assert.equal(parameters.CacheParameterGroupFamily, 'valkey9');
});

test('the only user has few rights, and a password that is in no template', () => {
  const template = cache();
  const user = only(template, 'AWS::ElastiCache::User');
  assert.equal(user.AccessString, 'on ~* &* +@all -@admin +client|kill');
  assert.match(JSON.stringify(user.Passwords), /\{\{resolve:secretsmanager:/);
  assert.deepEqual(only(template, 'AWS::SecretsManager::Secret').GenerateSecretString, { PasswordLength: 64, ExcludePunctuation: true });
  assert.equal(only(template, 'AWS::ElastiCache::UserGroup').UserIds.length, 1);
});

test('only those that are allowed reach the port', () => {
  const rule = only(cache(), 'AWS::EC2::SecurityGroupIngress');
  assert.deepEqual([rule.FromPort, rule.ToPort, rule.Description], [6379, 6379, 'Valkey, from server']);
});

test('tasks of another region are allowed by their network', () => {
  const other = (cidr: string) =>
    templateIn((stack, { vpc, isolatedSubnets }) =>
      new Cache(stack, 'Cache', { name: 'example', vpc, subnets: isolatedSubnets }).allowFromNetwork('other', cidr),
    );
  const rules = Object.values(other('10.1.64.0/20').findResources('AWS::EC2::SecurityGroup')).flatMap(
    (group) => group.Properties.SecurityGroupIngress ?? [],
  );
  assert.deepEqual(
    rules.map((rule: { CidrIp: string; ToPort: number }) => [rule.CidrIp, rule.ToPort]),
    [['10.1.64.0/20', 6379]],
  );
  refused(() => other('0.0.0.0/0'), /at most 65,536 addresses/);
});

const refusals: [string, Partial<CacheProps>, RegExp][] = [
  ['one node', { nodes: 1 }, /nothing to fail over to/],
  ['a version without its minor one', { engineVersion: '8' }, /with its minor one/],
  ['a type of another service', { nodeType: 't4g.small' }, /a type of ElastiCache/],
  ['one subnet', { subnets: [] }, /at least two zones/],
  ['two hyphens in a row', { name: 'a--b' }, /single hyphens/],
];
for (const [what, props, reason] of refusals) test(`${what} is refused for the cache`, () => refused(() => cache(props), reason));
