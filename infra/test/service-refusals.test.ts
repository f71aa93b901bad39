/** What the service refuses, with what it says. As terraform/modules/service/tests/refusals.tftest.hcl. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import type { ServiceProps } from '../lib/service';
import { InvalidInput } from '../lib/valid';
import { secret, service, serviceIn } from './services';
import { refused } from './stacks';

const refusals: [what: string, props: Partial<ServiceProps>, message: RegExp][] = [
  ['a name with capitals', { name: 'Example' }, /^name has 1 to 20 small letters/],
  ['a network without subnets', { subnets: [] }, /^subnets are of at least two zones/],
  ['the latest image', { image: 'realtime-server:latest' }, /^image ends with a version .* it is realtime-server:latest\.$/],
  ['the latest image of what fetches settings', { settingsImage: 'aws-cli:latest' }, /^settingsImage ends with a version/],
  ['an image without a version', { image: 'registry.example.com:5000/realtime-server' }, /^image ends with a version/],
  ['an empty file', { config: '' }, /^config is the text of a file/],
  ['a file that CloudFormation has no room for', { config: `# ${'ü'.repeat(50_000)}` }, /^config is the text of a file of at most 100,000 bytes/],
  ['a secret in the file', { config: '[auth]\njwt_secret = "x"\n' }, /^config has no secrets/],
  ['a public address without TLS', { publicUrl: 'ws://realtime.example.com' }, /^publicUrl begins with wss:/],
  ['a secret instead of its name', { jwtSecretArn: 'a-secret-of-more-than-thirty-two-bytes' }, /^jwtSecretArn is the whole ARN of a secret/],
  [
    'a key instead of the name of its secret',
    { previousEncryptionKeyArn: '0123456789abcdef0123456789abcdef' },
    /^previousEncryptionKeyArn is the whole ARN/,
  ],
  [
    'a secret without the end of its ARN',
    { jwtSecretArn: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:given' },
    /^jwtSecretArn is the whole ARN/,
  ],
  [
    'another secret than that of the first region',
    { jwtSecretArn: secret('given'), sharedSecrets: { jwtSecretArn: 'a', operatorsSecretArn: 'b', encryptionKeyArn: 'c' } },
    /^jwtSecretArn belongs to the service of the other region/,
  ],
  ['everyone as operators', { operators: { everyone: '0.0.0.0/0' } }, /^A network of clients or operators has at most 65,536 addresses/],
  [
    'an address without its prefix as operators',
    { operators: { vpn: '10.1.64.7' } },
    /^operators are security groups such as .* vpn is 10\.1\.64\.7\.$/,
  ],
  [
    'a secret in the place of its name',
    { settingSecrets: { REALTIME__TELEMETRY__PUSH__AUTH: 'Bearer secret' } },
    /^settingSecrets\.REALTIME__TELEMETRY__PUSH__AUTH is the whole ARN/,
  ],
  ['a key in the place of its variable', { settingSecrets: { 'telemetry.push.auth': secret('push') } }, /^settingSecrets has variables of settings/],
  [
    'a token in the query of an address',
    { config: '[telemetry.push]\nurl = "https://metrics.example/import?token=abc"\n' },
    /^config has no secrets/,
  ],
  [
    'a password in the query of an address',
    { config: '[store]\nurl = "postgres://user@host/database?sslmode=require&password=secret"\n' },
    /^config has no secrets/,
  ],
  ['a pair that Fargate does not have', { memory: 1024 }, /^cpu and memory are a pair that Fargate has: .* They are 1024 and 1024\.$/],
  ['a single task', { tasks: { min: 1, max: 2 } }, /^tasks\.min is at least 2/],
  ['more connections than the load balancer has', { maxConnections: 50_001 }, /^maxConnections is from 100 to 50000/],
  ['a drain that Fargate cuts off', { drain: { delay: 20, timeout: 85, shutdown: 5 } }, /^drain is less than 110 seconds/],
  ['a drain without a delay', { drain: { delay: 0, timeout: 60, shutdown: 5 } }, /^drain\.delay is at least 5/],
  ['pings that the load balancer does not wait for', { pingInterval: 350 }, /^pingInterval is below 120 seconds/],
  ['a namespace of AWS', { namespace: 'AWS/ECS' }, /^namespace does not begin with AWS/],
  ['requests all the time', { settingsInterval: 1 }, /^settingsInterval is from 5 to 600/],
  ['a retention that does not exist', { logRetentionDays: 31 }, /^logRetentionDays is one of the periods/],
  [
    'a limit per address while clients are hidden',
    { clientsAreHidden: true, config: '[server]\nmax_connections_per_address = 100\n' },
    /^config has a limit per address/,
  ],
];

for (const [what, props, message] of refusals) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => serviceIn(new Stack(), props),
      (error) => error instanceof InvalidInput && message.test(error.message),
    );
  });
}

test('a secret of another region is refused, from which tasks do not fetch it', () => {
  const elsewhere = secret('given').replace('eu-central-1', 'us-east-1');
  refused(() => service({ jwtSecretArn: elsewhere }), /^jwtSecretArn is of the region of the service, eu-central-1/);
});

test('PROXY headers from nowhere are refused', () => {
  const props = { loadBalancer: { cidrs: [] } } as unknown as Partial<ServiceProps>;
  assert.throws(() => serviceIn(new Stack(), props), /loadBalancer\.cidrs are networks/);
});
