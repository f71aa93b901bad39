import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App } from 'aws-cdk-lib';
import { inputs } from '../lib/inputs';
import { SIZES } from '../lib/sizes';
import { given, refused } from './stacks';

const read = (context: Record<string, unknown>) => inputs(new App({ context }).node);

test('inputs are read, of which three have a default', () => {
  assert.deepEqual(read(given), { ...given, size: SIZES.get('small'), operators: {} });
});

test('domain and operators may be JSON, as on the command line', () => {
  const operators = { vpn: 'sg-0123456789abcdef0' };
  const found = read({ ...given, domain: JSON.stringify(given.domain), operators: JSON.stringify(operators) });
  assert.deepEqual([found.domain, found.operators], [given.domain, operators]);
});

for (const [what, context, message] of [
  ['no region', { ...given, region: undefined }, /^region is missing: .* -c region=eu-central-1$/],
  ['a zone of a region', { ...given, region: 'eu-central-1a' }, /^region is the name of a region/],
  ['no domain', { ...given, domain: undefined }, /^domain is missing/],
  ['a domain without its zone', { ...given, domain: 'realtime.example.com' }, /^domain is a name and the id of its zone/],
  ['an image that is no text', { ...given, image: 1 }, /^image is a text/],
  ['operators without a name', { ...given, operators: ['sg-0123456789abcdef0'] }, /^operators are security groups and networks under names/],
  ['operators that are no text', { ...given, operators: { vpn: 1 } }, /^operators are security groups and networks under names/],
  ['another size', { ...given, size: 'huge' }, /^size is one of small, medium, large: it is huge\.$/],
  ['a name of Terraform', { ...given, jwt_secret_arn: 'arn' }, /^jwt_secret_arn is no input: there are region, .*jwtSecretArn/],
  ['a misspelt input', { ...given, jwtSecret: 'arn' }, /^jwtSecret is no input/],
] as const) {
  test(`${what} is refused`, () => {
    refused(() => read(context), message);
  });
}
