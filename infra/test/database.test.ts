import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import { Match } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Database, type DatabaseProps } from '../lib/database';
import { Network } from '../lib/network';
import { only, refused, templateIn } from './stacks';

const database = (props: Partial<DatabaseProps> = {}) =>
  templateIn((stack, { vpc, isolatedSubnets }) => {
    const made = new Database(stack, 'Database', { name: 'example', vpc, subnets: isolatedSubnets, ...props });
    made.allowFrom('server', new ec2.SecurityGroup(stack, 'Server', { vpc }));
  });

test('the cluster is encrypted, backed up and protected, and has a password that RDS rotates', () => {
  const cluster = only(database(), 'AWS::RDS::DBCluster');
  assert.equal(cluster.StorageEncrypted, true);
  assert.equal(cluster.BackupRetentionPeriod, 14);
  assert.equal(cluster.DeletionProtection, true);
  assert.equal(cluster.ManageMasterUserPassword, true);
  assert.equal(cluster.MasterUserPassword, undefined);
});

test('a key of its own encrypts all that the database stores', () => {
  let key = '';
  const template = templateIn((stack, { vpc, isolatedSubnets }) => {
    const kmsKey = Key.fromKeyArn(stack, 'Key', 'arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef');
    key = kmsKey.keyArn;
    new Database(stack, 'Database', { name: 'example', vpc, subnets: isolatedSubnets, kmsKey, instances: 1 });
  });
  const { KmsKeyId, MasterUserSecret } = only(template, 'AWS::RDS::DBCluster');
  assert.deepEqual([KmsKeyId, MasterUserSecret.KmsKeyId], [key, key]);
  assert.equal(only(template, 'AWS::RDS::DBInstance').PerformanceInsightsKMSKeyId, key);
  assert.equal(only(template, 'AWS::Logs::LogGroup').KmsKeyId, key);
  assert.equal(only(template, 'AWS::SecretsManager::Secret').KmsKeyId, key);
});

test('a deleted cluster leaves a snapshot', () => {
  database().hasResource('AWS::RDS::DBCluster', { DeletionPolicy: 'Snapshot', UpdateReplacePolicy: 'Snapshot' });
});

test('connections have TLS, and the log can be read', () => {
  const parameters = only(database({ engineVersion: '17.4' }), 'AWS::RDS::DBClusterParameterGroup');
  assert.deepEqual(parameters.Parameters, { 'rds.force_ssl': '1', 'rds.logical_replication': '1' });
  assert.equal(parameters.Family, 'aurora-postgresql17');
});

test('tasks are given the certificates of the region, and refused in one that has none here', () => {
  const at = (region: string, certificates?: string) => {
    const stack = new Stack(new App(), 'example', { env: { region } });
    const { vpc, isolatedSubnets: subnets } = new Network(stack, 'Network', { name: 'example' });
    return new Database(stack, 'Database', { name: 'example', vpc, subnets, ...(certificates && { certificates }) }).connection.certificates;
  };
  assert.equal(at('eu-central-1').match(/BEGIN CERTIFICATE/g)?.length, 3);
  refused(() => at('xx-new-1'), /^There are no certificates of the databases of xx-new-1: give certificates/);
  assert.equal(at('xx-new-1', '-----BEGIN CERTIFICATE-----'), '-----BEGIN CERTIFICATE-----');
});

test('any instance can take over', () => {
  const template = database({ instances: 3 });
  template.resourceCountIs('AWS::RDS::DBInstance', 3);
  template.allResourcesProperties('AWS::RDS::DBInstance', { PromotionTier: 0, PubliclyAccessible: false, DBInstanceClass: 'db.serverless' });
});

test('log lines expire, in the group that is there before the cluster', () => {
  const template = database({ logRetentionDays: 90 });
  assert.equal(only(template, 'AWS::Logs::LogGroup').RetentionInDays, 90);
  template.hasResource('AWS::RDS::DBCluster', { DependsOn: Match.arrayWith([Match.stringLikeRegexp('Log')]) });
});

test('only those that are allowed reach the port', () => {
  const rule = only(database(), 'AWS::EC2::SecurityGroupIngress');
  assert.deepEqual([rule.FromPort, rule.ToPort, rule.Description], [5432, 5432, 'PostgreSQL, from server']);
});

test('the password of the role is made by AWS, and is in no template', () => {
  assert.deepEqual(only(database(), 'AWS::SecretsManager::Secret').GenerateSecretString, { PasswordLength: 40, ExcludePunctuation: true });
});

test('alarms know how many connections an instance accepts, as the documentation of Aurora has them', () => {
  const accepted = (capacity: { min: number; max: number }) => {
    let most = 0;
    templateIn((stack, { vpc, isolatedSubnets }) => {
      most = new Database(stack, 'Database', { name: 'example', vpc, subnets: isolatedSubnets, capacity }).monitored.connectionsMax;
    });
    return most;
  };
  assert.ok(Math.abs(accepted({ min: 1, max: 16 }) - 3360) < 10);
  assert.equal(accepted({ min: 0.5, max: 32 }), 2000);
});

test('tasks of another region are allowed by their network', () => {
  const other = (cidr: string) =>
    templateIn((stack, { vpc, isolatedSubnets }) =>
      new Database(stack, 'Database', { name: 'example', vpc, subnets: isolatedSubnets }).allowFromNetwork('other', cidr),
    );
  const rules = Object.values(other('10.1.64.0/20').findResources('AWS::EC2::SecurityGroup')).flatMap(
    (group) => group.Properties.SecurityGroupIngress ?? [],
  );
  assert.deepEqual(
    rules.map((rule: { CidrIp: string; ToPort: number }) => [rule.CidrIp, rule.ToPort]),
    [['10.1.64.0/20', 5432]],
  );
  refused(() => other('0.0.0.0/0'), /at most 65,536 addresses/);
});

const refusals: [string, Partial<DatabaseProps>, RegExp][] = [
  ['a cluster that pauses', { capacity: { min: 0, max: 4 } }, /cannot have logical replication/],
  ['a capacity that shrinks', { capacity: { min: 8, max: 4 } }, /not below capacity\.min/],
  ['an old version', { engineVersion: '15.4' }, /can set the password of the owner/],
  ['one subnet', { subnets: [] }, /at least two zones/],
  ['the role of the owner', { role: 'postgres' }, /not a role of the owner/],
  ['a name of a database with a hyphen', { databaseName: 'real-time' }, /databaseName/],
  ['no instance', { instances: 0 }, /instances/],
  ['backups of two months', { backupDays: 60 }, /backupDays/],
  ['a retention that CloudWatch does not have', { logRetentionDays: 31 }, /periods of CloudWatch/],
];
for (const [what, props, reason] of refusals) test(`${what} is refused for the database`, () => refused(() => database(props), reason));
