/** The service: how tasks stop, what they may do, and what they have. As terraform/modules/service/tests/plan.tftest.hcl. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Vpc } from 'aws-cdk-lib/aws-ec2';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { connection, container, secret, service, serviceIn } from './services';
import { only, templateOf } from './stacks';

const template = service();
const names = ['server', 'settings', 'role', 'migrate'];

/** The statement of the policy, in the one role that has it. */
function statement(policy: string, sid: string, from = template): any {
  return Object.values(from.findResources('AWS::IAM::Role'))
    .flatMap(({ Properties }) => Properties.Policies)
    .filter(({ PolicyName }) => PolicyName === policy)
    .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
    .find(({ Sid }) => Sid === sid);
}

test('a task has the time that its drain takes, and no more than Fargate has', () => {
  assert.equal(container(template, 'server').StopTimeout, 20 + 60 + 5 + 10);
});

test('a deployment stops tasks when others are there, and is rolled back when they do not start, or do not reach database or Redis', () => {
  const alarms = Object.entries(template.findResources('AWS::CloudWatch::Alarm'));
  assert.equal(alarms.length, 1);
  const [[alarm, { Properties }]] = alarms as [[string, any]];
  const metrics = Properties.Metrics.map(({ MetricStat }: any) => MetricStat?.Metric.MetricName);
  assert.deepEqual(metrics, ['realtime_store_connected', 'realtime_bus_connected', undefined]);
  // Before the tasks of the version before have ended.
  assert.ok(Properties.EvaluationPeriods * 60 <= 120);
  assert.deepEqual(only(template, 'AWS::ECS::Service').DeploymentConfiguration, {
    MinimumHealthyPercent: 100,
    MaximumPercent: 200,
    DeploymentCircuitBreaker: { Enable: true, Rollback: true },
    Alarms: { AlarmNames: [{ Ref: alarm }], Enable: true, Rollback: true },
  });
});

test('an update of the service leaves the number of tasks as it is', () => {
  assert.equal(only(template, 'AWS::ECS::Service').DesiredCount, undefined);
});

test('no container can write to its root, or has a capability', () => {
  for (const name of names) {
    const { ReadonlyRootFilesystem, Privileged, LinuxParameters } = container(template, name);
    assert.deepEqual([ReadonlyRootFilesystem, Privileged, LinuxParameters.Capabilities], [true, false, { Drop: ['ALL'] }], name);
  }
});

test('the server is not root, and cannot be entered', () => {
  assert.equal(container(template, 'server').User, '10001:10001');
  assert.equal(only(template, 'AWS::ECS::Service').EnableExecuteCommand, false);
});

test('the server starts when its settings are there, and cannot change them', () => {
  const server = container(template, 'server');
  assert.deepEqual(server.DependsOn, [{ ContainerName: 'settings', Condition: 'HEALTHY' }]);
  assert.equal(server.MountPoints[0].ReadOnly, true);
});

test('what fetches settings is started again when it ends, from a minute after its start on', () => {
  const { Essential, RestartPolicy } = container(template, 'settings');
  assert.deepEqual([Essential, RestartPolicy], [false, { Enabled: true, RestartAttemptPeriod: 60 }]);
});

test('ten minutes in which settings or secrets are not fetched are counted, by the beginning of the line that the container writes', () => {
  const { FilterPattern, MetricTransformations } = only(template, 'AWS::Logs::MetricFilter');
  const words = [...FilterPattern.matchAll(/= (\w+)/g)].map(([, word]) => word).join(' ');
  assert.match(FilterPattern, /^\[first = Settings, .*, \.\.\.\]$/);
  assert.ok(container(template, 'settings').Command[0].includes(`echo "${words} `));
  assert.equal(MetricTransformations[0].MetricNamespace, 'Realtime/example');
});

test('secrets of a server are files, so that they can be rotated while it runs', () => {
  assert.equal(container(template, 'server').Secrets, undefined);
  const { Value } = container(template, 'settings').Environment.find(({ Name }: any) => Name === 'SECRETS');
  const lines = Value['Fn::Join'][1]
    .map((part: any) => part.Ref ?? part)
    .join('')
    .split('\n');
  assert.deepEqual(
    lines.map((line: string) => line.split(' ')[0]),
    ['jwt', 'operators', 'encryption-key', 'database-password', 'redis-url'],
  );
  assert.equal(lines[4], `redis-url ${secret('redis')} rediss://realtime: @redis.example.com:6379`);
});

test('a task can read its secrets, and not the password of the owner of the database', () => {
  const read = JSON.stringify(statement('task', 'Secrets').Resource);
  assert.ok(read.includes(secret('role')) && read.includes(secret('redis')) && !read.includes(secret('owner')));
  assert.equal(statement('task', 'Secrets').Resource.length, 5);
});

test('while the key of stored secrets is rotated, servers and `store rekey` have the one before', () => {
  const rotating = service({ previousEncryptionKeyArn: secret('previous') });
  const value = (from: string, name: string) => JSON.stringify(container(rotating, from).Environment.find(({ Name }: any) => Name === name).Value);
  assert.match(value('server', 'REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY_FILE'), /previous-encryption-key/);
  assert.ok(value('settings', 'SECRETS').includes(`previous-encryption-key ${secret('previous')}`));
  const injected = container(rotating, 'migrate').Secrets;
  assert.deepEqual(injected.at(-1), { Name: 'REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY', ValueFrom: secret('previous') });
  assert.ok(JSON.stringify(statement('task', 'Secrets', rotating).Resource).includes(secret('previous')));
  assert.ok(!JSON.stringify(template.toJSON()).includes('PREVIOUS_ENCRYPTION_KEY'));
});

test('the secret of a further setting is a file that the server reads', () => {
  const pushing = service({ settingSecrets: { REALTIME__TELEMETRY__PUSH__AUTH: secret('push') } });
  const { Value } = container(pushing, 'server').Environment.find(({ Name }: any) => Name === 'REALTIME__TELEMETRY__PUSH__AUTH_FILE');
  assert.equal(Value, '/run/realtime/realtime--telemetry--push--auth');
  const { Value: lines } = container(pushing, 'settings').Environment.find(({ Name }: any) => Name === 'SECRETS');
  assert.ok(JSON.stringify(lines).includes(`realtime--telemetry--push--auth ${secret('push')}`));
  assert.ok(statement('task', 'Secrets', pushing).Resource.includes(secret('push')));
});

test('a rotated password reaches running tasks within a minute', () => {
  const { Value } = container(template, 'settings').Environment.find(({ Name }: any) => Name === 'INTERVAL');
  // There is time for a request that fails.
  assert.ok(2 * Number(Value) <= 60);
});

test('tables are made when there is a role, and a server starts when there are tables', () => {
  assert.deepEqual(container(template, 'migrate').DependsOn, [{ ContainerName: 'role', Condition: 'SUCCESS' }]);
  const [found] = Object.values(template.findResources('AWS::ECS::Service'));
  const [run] = Object.keys(template.findResources('Custom::Migration'));
  const [object] = Object.keys(template.findResources('Custom::Settings'));
  assert.ok(found?.DependsOn.includes(run) && found?.DependsOn.includes(object));
});

test('the migration is run when its subnets lead to the internet, and the database lets it in', () => {
  const made = templateOf((stack) => {
    const vpc = new Vpc(stack, 'Network', { maxAzs: 2 });
    const database = new Topic(stack, 'Database');
    serviceIn(stack, { subnets: vpc.privateSubnets, database: { ...connection, ready: database } });
  });
  const [run] = Object.values(made.findResources('Custom::Migration'));
  assert.equal(run?.DependsOn.filter((id: string) => /PrivateSubnet\dDefaultRoute/.test(id)).length, 2);
  assert.ok(run?.DependsOn.some((id: string) => id.startsWith('Database')));
});

test('what runs the migration may run no other task, and give it no other role', () => {
  const { Resource, Condition } = statement('handler', 'Run');
  assert.match(JSON.stringify(Resource), /:task-definition\/example-migration:\*/);
  assert.ok(Condition.ArnEquals['ecs:cluster']);
  assert.equal(statement('handler', 'Role').Condition.StringEquals['iam:PassedToService'], 'ecs-tasks.amazonaws.com');
});

test('the load balancer alone reaches the port of clients, and no one the internal port', () => {
  const { FromPort, ToPort, SourceSecurityGroupId } = only(template, 'AWS::EC2::SecurityGroupIngress');
  assert.deepEqual([FromPort, ToPort, SourceSecurityGroupId], [8080, 8080, 'sg-0123456789abcdef0']);
});

test('operators reach the internal port', () => {
  const operated = service({ operators: { vpn: 'sg-0123456789abcdef1', prometheus: '10.1.64.0/20' } });
  const rules = only(operated, 'AWS::EC2::SecurityGroup').SecurityGroupIngress;
  assert.deepEqual(
    rules.map((rule: any) => [rule.FromPort, rule.ToPort, rule.SourceSecurityGroupId ?? rule.CidrIp]),
    [
      [9090, 9090, 'sg-0123456789abcdef1'],
      [9090, 9090, '10.1.64.0/20'],
    ],
  );
});

test('scaling leaves room for the clients of a task that fails, and no task alone', () => {
  const { TargetTrackingScalingPolicyConfiguration: found } = only(template, 'AWS::ApplicationAutoScaling::ScalingPolicy', (each) =>
    each.PolicyName.endsWith('-connections'),
  );
  assert.deepEqual([found.TargetValue, found.CustomizedMetricSpecification.MetricName], [9830, 'phoenix_connections_active']);
  assert.equal(only(template, 'AWS::ApplicationAutoScaling::ScalableTarget').MinCapacity, 2);
});

test('a secret of clients is made unless one is given', () => {
  const lengths = (from = template) =>
    Object.values(from.findResources('AWS::SecretsManager::Secret')).map(({ Properties }) => Properties.GenerateSecretString.PasswordLength);
  assert.deepEqual(lengths(), [64, 64, 32]);
  const given = service({ jwtSecretArn: secret('given') });
  assert.deepEqual(lengths(given), [64, 32]);
  assert.ok(statement('task', 'Secrets', given).Resource.includes(secret('given')));
});

test('a second region uses the secrets of the first, and does not migrate its database', () => {
  const sharedSecrets = { jwtSecretArn: secret('jwt'), operatorsSecretArn: secret('operators'), encryptionKeyArn: secret('key') };
  const second = service({ sharedSecrets });
  second.resourceCountIs('AWS::SecretsManager::Secret', 0);
  second.resourceCountIs('AWS::ECS::TaskDefinition', 1);
  second.resourceCountIs('Custom::Migration', 0);
  assert.deepEqual(statement('task', 'Secrets', second).Resource.slice(0, 3), Object.values(sharedSecrets));
});

test('the secret of clients and the key that encrypts the secrets of tenants stay when they leave the stack', () => {
  const kept = Object.values(template.findResources('AWS::SecretsManager::Secret')).filter(
    ({ DeletionPolicy }) => DeletionPolicy === 'RetainExceptOnCreate',
  );
  assert.deepEqual(
    kept.map(({ Properties, UpdateReplacePolicy }) => [Properties.Description.split(' of ')[0], UpdateReplacePolicy]),
    [
      ['Signs the tokens', 'Retain'],
      ['Encrypts the secrets', 'Retain'],
    ],
  );
});

test('a task can decrypt secrets that have keys of their own', () => {
  const arns = ['01234567-89ab-cdef-0123-456789abcdef', '76543210-89ab-cdef-0123-456789abcdef'].map(
    (id) => `arn:aws:kms:eu-central-1:123456789012:key/${id}`,
  );
  const keyed = templateOf((stack) => {
    const [kmsKey, database] = arns.map((arn) => Key.fromKeyArn(stack, arn, arn));
    if (kmsKey && database) serviceIn(stack, { kmsKey, secretKmsKeys: [database] });
  });
  for (const policy of ['task', 'migration']) assert.deepEqual(statement(policy, 'Keys', keyed).Resource, arns);
});

test('an image of another registry needs no rights in ECR', () => {
  assert.equal(statement('execution', 'Image', service({ image: 'registry.example.com:5000/realtime-server:0.1.0' })), undefined);
  assert.match(JSON.stringify(statement('execution', 'Image').Resource), /:ecr:eu-central-1:123456789012:repository\/realtime-server"/);
});

test('there are no limits per address while the addresses of clients are hidden', () => {
  const hidden = container(service({ clientsAreHidden: true }), 'server').Environment;
  assert.ok(hidden.some(({ Name, Value }: any) => Name === 'REALTIME__SERVER__UNLIMITED_ADDRESSES' && Value === '0.0.0.0/0'));
});
