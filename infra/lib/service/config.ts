/** What config.toml must not have in it: secrets, because it is in the template, and settings that contradict other properties. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { refuseUnless } from '../valid';
import type { ServiceValues } from './inputs';

/** Those of terraform/. Tables have the names of `secret_texts` as well, and no text. */
const REFUSED: Record<'secrets' | 'secret_texts' | 'limits_per_address', string[]> = JSON.parse(
  readFileSync(join(__dirname, '../../../terraform/modules/service/refused-keys.json'), 'utf8'),
);

/** Addresses and sets of keys, which may have a secret in them: a password before the host or in the query, and a key that signs as well as verifies. */
const SECRETS_IN_VALUES = [
  /^[^#\n]*:\/\/[^\s"']*[?&]([\w-]*(password|passwd|token|secret|api-?key|apikey))=[^&\s"']/m,
  /^[^#\n]*:\/\/[^\s\/"'@:]*:[^\s\/"'@]+@/m,
  /^[^#\n]*\bkty\W{1,12}oct\b/m,
];

export function checkConfig({ config, clientsAreHidden }: ServiceValues): void {
  // CloudFormation hands the old text and the new one to a function at once, and has 256 KiB for both.
  refuseUnless(
    config.length > 0 && Buffer.byteLength(config) <= 100_000,
    'config is the text of a file of at most 100,000 bytes. An empty one is refused by the server.',
  );
  const secrets = [assignment(REFUSED.secrets), assignment(REFUSED.secret_texts, `[ \\t]*["']`), ...SECRETS_IN_VALUES];
  refuseUnless(
    !secrets.some((secret) => secret.test(config)),
    'config has no secrets, because it is in the template: they are in Secrets Manager, and settingSecrets names those that the construct does not make.',
  );
  refuseUnless(
    !clientsAreHidden || !assignment(REFUSED.limits_per_address).test(config),
    'config has a limit per address, which would be one of all clients together while their addresses are hidden.',
  );
}

/** Matches a line that sets one of the keys: in its table, below the name of its table, or in an inline table. */
function assignment(keys: string[], value = ''): RegExp {
  return new RegExp(`^([^#\\n]*[{,])?[ \\t]*(["']?[\\w-]+["']?[ \\t]*\\.[ \\t]*)*["']?(${keys.join('|')})["']?[ \\t]*=${value}`, 'm');
}
