import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App } from 'aws-cdk-lib';
import { inputs } from '../lib/inputs';
import { SIZES } from '../lib/sizes';
import { given, refused } from './stacks';

const read = (context: Record<string, unknown>) => inputs(new App({ context }).node);

test('five inputs are read, of which two have a default', () => {
  assert.deepEqual(read(given), { ...given, size: SIZES.get('small') });
});

test('the domain may be JSON, as on the command line', () => {
  assert.deepEqual(read({ ...given, domain: JSON.stringify(given.domain) }).domain, given.domain);
});

for (const [what, context, message] of [
  ['no region', { ...given, region: undefined }, /^region is missing: .* -c region=eu-central-1$/],
  ['a zone of a region', { ...given, region: 'eu-central-1a' }, /^region is the name of a region/],
  ['no domain', { ...given, domain: undefined }, /^domain is missing/],
  ['a domain without its zone', { ...given, domain: 'realtime.example.com' }, /^domain is a name and the id of its zone/],
  ['an image that is no text', { ...given, image: 1 }, /^image is a text/],
  ['another size', { ...given, size: 'huge' }, /^size is one of small, medium, large: it is huge\.$/],
  ['a name of Terraform', { ...given, jwt_secret_arn: 'arn' }, /^jwt_secret_arn is no input: there are region, .*jwtSecretArn/],
  ['a misspelt input', { ...given, jwtSecret: 'arn' }, /^jwtSecret is no input/],
] as const) {
  test(`${what} is refused`, () => {
    refused(() => read(context), message);
  });
}
