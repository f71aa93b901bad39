/** Which secrets in config.toml are refused: every setting that is one, wherever it is written. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkConfig } from '../lib/service/config';
import type { ServiceValues } from '../lib/service/inputs';
import { refused } from './stacks';

const check = (config: string) => checkConfig({ config, clientsAreHidden: false } as ServiceValues);

interface Schema {
  readonly $defs: Record<string, { readonly properties?: Record<string, { readonly type?: string | string[]; readonly 'x-secret'?: true }> }>;
}

const { $defs } = JSON.parse(readFileSync(join(__dirname, '../../config/schema.json'), 'utf8')) as Schema;
const secrets = Object.values($defs)
  .flatMap(({ properties = {} }) => Object.entries(properties))
  .filter(([, setting]) => setting['x-secret']);

/** A value of the setting with a secret in it. */
function secret(key: string, type?: string | string[]): string {
  if (type === 'array') return '["a-secret"]';
  if (key === 'jwt_jwks') return `'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'`;
  return /url$|endpoint$/.test(key) ? '"https://user:a-secret@example.com/"' : '"a-secret"';
}

test('a secret is refused, whichever setting it is', () => {
  assert.ok(secrets.length >= 24);
  for (const [key, { type }] of secrets) refused(() => check(`[table]\n${key} = ${secret(key, type)}\n`), /^config has no secrets/);
});

for (const [where, config] of [
  ['a dotted key', 'auth.jwt_secret = "x"'],
  ['a tenant', '[tenants."a-b"]\ntenants . "a-b" . auth.jwt_secret="x"'],
  ['an inline table', 'auth = { leeway = "5s", jwt_secret = "x" }'],
  ['a key in quotes', '[auth]\n"jwt_secret" = "x"'],
] as const) {
  test(`a secret in ${where} is refused`, () => {
    refused(() => check(config), /^config has no secrets/);
  });
}

test('what is no secret is accepted', () => {
  check('# [auth] jwt_secret = "x", redis://user:password@host\n[auth]\njwks_url = "https://example.com/jwks.json"\n');
  check(`auth = { leeway = "5s", jwt_jwks = '{"keys": [{"kty": "EC"}]}' }\n[telemetry.traces]\nendpoint = "http://collector:4318"\n`);
  check(readFileSync(join(__dirname, '../../terraform/config.toml'), 'utf8'));
});

test('a limit per address is refused below the name of its table, too', () => {
  const given = { config: 'server.max_connections_per_address = 100\n', clientsAreHidden: true } as ServiceValues;
  refused(() => checkConfig(given), /^config has a limit per address/);
});
